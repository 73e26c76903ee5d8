"""The canaries' texts. Every stored reference depends on them: a change needs a new VERSION."""

VERSION = 1

NATURAL = (
    "The cat sat on the mat and watched the rain run down the window.",
    "Quarterly revenue grew by twelve per cent, mostly because of new customers in Asia.",
    "How do I reset the password of an account that is locked?",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "The committee adjourned without reaching a decision on the new railway line.",
    "Add the flour slowly, stir until the dough is smooth, and let it rest for an hour.",
    "A mutation in the BRCA1 gene raises the lifetime risk of breast cancer considerably.",
    "She left the keys under the flowerpot, as she had promised, and drove to the airport.",
    "The contract may be terminated by either party with ninety days' written notice.",
    "Which planets of the solar system have rings, and what are they made of?",
    "The bridge was closed after engineers found cracks in two of its steel cables.",
    "He plays the violin badly but with great enthusiasm.",
    "Interest rates were left unchanged, while inflation fell for the third month in a row.",
    "To install the package, create a virtual environment and run the command below.",
    "The patient was treated with antibiotics for ten days and recovered completely.",
    "Wolves returned to the valley forty years after the last one had been shot.",
    "This jacket runs small; order one size larger than you usually wear.",
    "Die Donau fließt durch zehn Länder und mündet ins Schwarze Meer.",
)

_LONG = (
    "The harbour lay quiet in the early light. Fishing boats came in one after another, low in the"
    " water, and the gulls followed them. On the quay the buyers were waiting with their crates and"
    " their ice. Prices had been rising since the spring, and nobody expected a good bargain. A boy"
    " on a bicycle brought coffee in paper cups. Somewhere a radio played an old song about the"
    " north wind, and an old man sang along, off key, until his wife told him to stop. "
)


def _words(count: int) -> str:
    """The first `count` words of the long text, repeated as often as needed, and numbered."""
    words = _LONG.split()
    return " ".join(
        words[no % len(words)] if no % 17 else f"{words[no % len(words)]} {no}"
        for no in range(count)
    )


_UPPER = "THE SERVER IS DOWN AND NOBODY KNOWS WHY"
_ACCENTS = "Crème brûlée, jalapeño, Ångström, naïve façade, Übermaß, čeština, żółć"
_CHINESE = "这家餐厅的面条非常好吃，但是服务很慢。"  # noqa: RUF001
_CODE = "def add(a: int, b: int) -> int:\n    return a + b  # sum\n\nprint(add(2, 3))"
_OVER = _words(300)

EDGE = (
    _UPPER,
    "URGENT: PAYMENT FAILED FOR INVOICE NO. 4711",
    "mIxEd CaSe LeTtErS iN a ShOrT tExT",
    _ACCENTS,
    "Cre\u0300me bru\u0302le\u0301e with combining accents instead of composed letters",
    "Zażółć gęślą jaźń; příliš žluťoučký kůň úpěl ďábelské ódy",
    "a",
    "7",
    "Z",
    "?",
    "   white space before and behind   ",
    "\n\tA line with\ttabs and\nline breaks \r\n in it.\n\n",
    "word " * 40,
    "no no no no no no no no yes",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    _CHINESE,
    "東京は日本の首都であり、世界最大の都市の一つです。",
    "서울의 겨울은 춥고 건조하다.",
    "Москва — столица России и крупнейший по численности населения город.",
    "القاهرة هي عاصمة مصر وأكبر مدنها.",
    "Launch day 🚀🎉 everyone is happy 😀👍🏽 👨‍👩‍👧",
    "3.14159 2,718,281 -40 1e-9 0x7f 99.9 % 2024-02-29 12:34:56",
    "+49 (0)30 901820, 10.0.0.1, f47ac10b-58cc-4372-a567-0e02b2c3d479",
    _CODE,
    "SELECT id, name FROM users WHERE name LIKE 'O''Brien%' ORDER BY 1 LIMIT 10;",
    "https://example.com/a/very/long/path?query=value&other=1#fragment user@example.com",
    "<p>Some <b>markup</b> &amp; an entity</p>",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    _words(100),
    _words(208),
    _words(209),
    _words(210),
    _words(215),
    _words(230),
    _OVER,
    _words(480),
    _words(2560),
)

QUICK_EDGE = (_UPPER, _ACCENTS, "a", _OVER, _CHINESE, _CODE)
