import functools
from collections.abc import Sequence

import numpy as np

from embedding import canaries, description, encoder, tokenizing


class Check:
    """Compares an encoder with a space's reference, (canaries, dimensions)."""

    def __init__(
        self,
        tokenizer: tokenizing.Tokenizer,
        model: description.ModelDescription,
        reference: encoder.Vectors,
    ) -> None:
        self.reference = reference
        prompt = model.document_prompt.text
        self.rows = [row(tokenizer, canary.text, prompt) for canary in canaries.TEXTS]
        self.pooled_from = 0 if model.space.include_prompt else tokenizer.pooled_from(prompt)

    def run(self, encodes: encoder.Encoder, which: Sequence[int] = canaries.ALL) -> canaries.Report:
        """The canaries alone as queries are, and in padded batches as documents are; blocks."""
        reference = self.reference[list(which)]
        alone = self.vectors(encodes, which, alone=True)
        together = self.vectors(encodes, which, alone=False)
        return canaries.worse(
            canaries.compare(reference, alone, which), canaries.compare(reference, together, which)
        )

    def vectors(
        self, encodes: encoder.Encoder, which: Sequence[int], *, alone: bool
    ) -> encoder.Vectors:
        """In the order of `which`; the rows of texts that fail are NaN."""
        result = np.full((len(which), self.reference.shape[1]), np.nan, np.float32)
        for places in _single(which) if alone else _mixed(which, encodes.batch_rows):
            rows = [self.rows[which[place]] for place in places]
            run = functools.partial(
                encodes.query if alone else encodes.bulk, pooled_from=self.pooled_from
            )
            vectors, failures = encoder.isolate(run, rows)
            for no, place in enumerate(places):
                if no not in failures and vectors[no].shape == result[place].shape:
                    result[place] = vectors[no]
        return result


def row(tokenizer: tokenizing.Tokenizer, text: str, prompt: str) -> tokenizing.Ids:
    """A document's tokens as far as the model reads."""
    if tokenizer.limit is None:
        return tokenizer.encode(text, prompt).ids
    return tokenizer.beginning(text, prompt, tokenizer.limit).tokens.ids


def _single(which: Sequence[int]) -> list[list[int]]:
    return [[place] for place in range(len(which))]


def _mixed(which: Sequence[int], most: int) -> list[list[int]]:
    """Places in batches of unlike lengths: neighbours in the list are dealt out."""
    count = -(-len(which) // most)
    return [list(range(start, len(which), count)) for start in range(count)]
