"""Samples of documents, by the keys that follow a random sample."""

from uuid import UUID

from api.service import Service
from storage import document_samples, documents
from tests.integration.conftest import write

TEXTS = {f"d{no}": f"{no:02} " + "\u6f22" * no for no in range(20)}


async def test_a_sample_begins_anywhere_and_goes_round(service: Service):
    await write(service, TEXTS)
    collection = (await service.collection("default")).row
    by_key = {documents.key(collection.id, id_): text for id_, text in TEXTS.items()}
    keys = sorted(by_key)
    async with service.engine.connect() as conn:
        for position in (0, 7, 19):
            order = [by_key[key] for key in keys[position:] + keys[:position]]
            samples = await document_samples.texts(
                conn, collection.id, start=keys[position], count=12, chars=100
            )
            assert [sample.beginning for sample in samples] == order[:12]
            assert [sample.size for sample in samples] == [
                len(text.encode()) for text in order[:12]
            ]
            sizes = await document_samples.sizes(
                conn, collection.id, start=keys[position], count=12
            )
            assert sizes == [sample.size for sample in samples]
        last_key = UUID(int=2**128 - 1)
        all_of_them = await document_samples.texts(
            conn, collection.id, start=last_key, count=100, chars=100
        )
        assert {sample.beginning for sample in all_of_them} == set(TEXTS.values())
        assert len(all_of_them) == 20


async def test_only_the_beginning_of_a_text_is_read_and_all_of_it_measured(service: Service):
    await write(service, {"long": "boat " * 20_000})
    collection = (await service.collection("default")).row
    async with service.engine.connect() as conn:
        samples = await document_samples.texts(
            conn, collection.id, start=UUID(int=0), count=5, chars=9
        )
    assert [(sample.beginning, sample.size) for sample in samples] == [("boat boat", 100_000)]


async def test_other_collections_are_not_sampled(service: Service):
    await write(service, TEXTS)
    other = UUID(int=1)
    async with service.engine.connect() as conn:
        assert await document_samples.count(conn, other) == 0
        assert await document_samples.sizes(conn, other, start=UUID(int=0), count=5) == []
        collection = (await service.collection("default")).row
        assert await document_samples.count(conn, collection.id) == 20


async def test_documents_that_are_there(service: Service):
    await write(service, TEXTS)
    collection = (await service.collection("default")).row
    existing, gone = (documents.key(collection.id, id_) for id_ in ("d1", "gone"))
    async with service.engine.connect() as conn:
        assert await document_samples.existing_keys(conn, [existing, gone]) == {existing}
        assert await document_samples.existing_keys(conn, []) == set()
