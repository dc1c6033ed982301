"""`python -m logpr.integrations.lm_eval` is lm-evaluation-harness with the model `logpr` in it."""

from __future__ import annotations

from logpr.integrations.lm_eval import main

if __name__ == "__main__":
    main()
