from pathlib import Path

from embedding import errors

# Tokenizers that know no limit say 1e30; a real one this long doesn't exist.
NO_LIMIT = 10_000_000


def effective(
    setting: int | None,
    *,
    stated: int | None,
    stated_in: Path,
    positions: int | None,
    tokenizer: int | None,
) -> int | None:
    """How many tokens, special ones and prompt included, are embedded at most; None for no limit.

    A setting comes first, then what sentence-transformers' file states, then the tokenizer's own
    limit; none may be longer than the model has positions for: LimitTooLong.
    """
    if setting is not None:
        return _checked(setting, "the setting max_tokens", positions)
    if stated is not None and stated < NO_LIMIT:
        return _checked(stated, f"max_seq_length in {stated_in}", positions)
    if tokenizer is not None and 0 < tokenizer < NO_LIMIT:
        return tokenizer if positions is None else min(tokenizer, positions)
    return positions


def _checked(tokens: int, what: str, positions: int | None) -> int:
    if tokens < 1:
        raise errors.LimitTooShort(f"{what} is {tokens}; at least one token is needed")
    if positions is not None and tokens > positions:
        raise errors.LimitTooLong(
            f"{what} is {tokens} tokens, but the model has {positions} positions;"
            f" set max_tokens to {positions} or less"
        )
    return tokens
