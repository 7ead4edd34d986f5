"""Make the name of an organization or a person fit to stand in a letter.

Whoever can sign up chooses these names, and a letter about security lends them weight. So a name is one line of bounded length
without anything invisible, without anything that changes the direction or look of what follows, and without anything that a mail
program would turn into a link. The same cleaned name stands in the subject, the text and the HTML.
"""

import re
import unicodedata

_LETTER = "[A-Za-zÀ-ÖØ-öø-ɏΑ-ΡΣ-ώЀ-џא-תء-يぁ-ゖァ-ヺー一-鿿가-힣]"  # letters that are their own normal form
_PLAIN = re.compile(rf"{_LETTER}{{1,30}}\.?(?:[ '’-]{_LETTER}{{1,30}}\.?){{0,4}}")  # noqa: RUF001 - the apostrophe people write

_SUSPECT = re.compile(r"^ | $|  |[@:=]|\.(?![. ,]|$)")  # of visible ASCII: what might be linked, decoded or collapsed

_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    # Marks and letters that take no ink though their category says otherwise: Mongolian and other variation selectors.
    *map(chr, range(0x180B, 0x1810)),
    *map(chr, range(0xFE00, 0xFE10)),
    *map(chr, range(0xE0100, 0xE01F0)),
}
_MOST_MARKS = 3  # on one letter; real orthographies need no more, and stacks of them climb into the lines around

_DOT = r"[.\uff0e\u3002\uff61\u2024]"  # everything that IDNA, or its NFKC, reads as a full stop
_LINKED_DOT = re.compile(rf"(?<=\S){_DOT}(?=\w[^\s.,;:!?)…])")  # a top-level domain has two letters or more
_LINKED_AT = re.compile(r"(?<=\S)[@\uff20\ufe6b](?=\w)")
_LINKED_SCHEME = re.compile(r"(?<=\w)[:\uff1a\ufe55](?=[/\\\uff0f])")
_ELLIPSIS = "…"


def clean_name(text: str | None, limit: int) -> str:
    """Return `text` as one visible line of at most `limit` code points, or an empty string when nothing visible is left.

    What would be linked by a mail program gets a space where the link would run through: `evil.example` becomes `evil. example`.
    A space is honest, needs no invisible character, and works alike in the subject, the text and the HTML; initials (`J.P. Morgan`)
    and abbreviations (`St. Mary's`) stay as they are. A cut name ends in an ellipsis and never parts a letter from its marks.
    """
    if not text:
        return ""
    if len(text) <= limit and (_PLAIN.fullmatch(text) or (text.isascii() and text.isprintable() and not _SUSPECT.search(text))):
        return text
    visible = _visible(text[: 16 * limit])  # enough for any real name, and ten thousand letters cost no more than a thousand
    return _cut(_inert(" ".join(visible.split())), limit)


def _visible(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if character.isspace() or category in {"Zl", "Zp"}:
            kept.append(" ")
        elif category not in _INVISIBLE_CATEGORIES and character not in _INVISIBLE_LETTERS:
            marks = marks + 1 if category[0] == "M" else 0
            if marks <= _MOST_MARKS:
                kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))  # once more: what was stripped may have stood between a letter and its mark


def _inert(text: str) -> str:
    text = text.replace("=?", "= ?")  # an encoded word (RFC 2047): some mail programs decode once more than they should
    text = _LINKED_SCHEME.sub(r"\g<0> ", text)
    text = _LINKED_AT.sub(r"\g<0> ", text)
    return _LINKED_DOT.sub(r"\g<0> ", text)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = limit - len(_ELLIPSIS)
    while end > 0 and _continues(text, end):
        end -= 1
    return text[:end].rstrip() + _ELLIPSIS


def _continues(text: str, at: int) -> bool:
    """Whether the character at `at` belongs to the one before it: a mark, a skin tone, or the second half of a flag."""
    character = text[at]
    if _is_flag_half(character):
        halves = len(text[:at]) - len(text[:at].rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))
        return halves % 2 == 1
    return unicodedata.category(character)[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff"


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
