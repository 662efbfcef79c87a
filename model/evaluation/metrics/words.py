"""Words of a caption, cut as the public caption metrics do: after the Penn Treebank, lower case, no punctuation.

The public metrics run Stanford's tokenizer, a Java program. This is its behaviour on captions, written anew: clitics
are split off (do n't, man 's), hyphenated and slashed words, numbers, clock times, initials and common abbreviations
stay whole, currency and per cent signs stand alone. Brackets become -lrb- and the like and are not dropped with the
other punctuation, which is an oversight there and part of published numbers. What it does not know: telephone numbers,
emoticons, XML, rare abbreviations, and where an initial ends a sentence. Pure; any thread or process.
"""

from __future__ import annotations

import re

_DROPPED = frozenset(['"', "''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
_SAME = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b", "'")  # quotation marks
    | dict.fromkeys("\u201c\u201d\u201e", '"')
    | dict.fromkeys("\u2013\u2014", "--")  # dashes
    | {"\u2026": "...", "\u00ad": "", "\u00a0": " "}  # ellipsis, soft hyphen, no-break space
    | {"£": "#", "€": "$", "¢": " cents", "½": " 1/2 ", "¼": " 1/4 ", "¾": " 3/4 "}
)
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_TWO_IN_ONE = re.compile(
    r"(?:\b(can)(not)|\b(gon|wan)(na)|\b(got)(ta)|\b(gim|lem)(me)|(?<!\w)('t)(is|was))\b", re.IGNORECASE
)
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))(?![^\W_])", re.IGNORECASE)
_ABBREVIATIONS = """
    mr mrs ms dr prof gen sgt capt lt col rev hon gov sen rep st ave blvd mt ft vs etc cf al e.g i.e a.k.a dept est
    univ ph.d inc ltd corp co bros jr sr jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun rd
"""  # a caption metric does not care whether a sentence ended behind one of them
_TOKEN = re.compile(
    rf"""
      https?://\S+[\w/] | www\.\S+[\w/]                               # addresses
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+ | [@#][^\W\d]\w+                   # mail, names, tags
    | '(?:\d\ds?|em|til|cause|n'?)(?!\w) | n't | '(?:s|m|d|re|ve|ll|t)(?![\w-])
    | (?:dunkin|somethin|nothin|ol)' | (?:ma'am|ne'er|e'er|s'mores|hawai'i)(?!\w)
    | (?:{"|".join(map(re.escape, _ABBREVIATIONS.split()))})\.(?!\w) | no\.(?=\s?\d)
    | (?:[^\W\d_]\.)+(?:[^\W\d_]\.)(?!\w) | [^\W\d_]\.(?=\s|\d|$)     # initials
    | \d+[ ]\d+/\d+ | us\$
    | [^\W_]+(?:-[^\W_]+)*(?:/[^\W\d_]+)+                             # this/that
    | \d+(?:[.,:/-]\d+)+(?:ths)?(?!-?\w) | \d+(?:[.,:]\d+)+ | [.]\d+ | [-+]\d+(?:[.,]\d+)*
    | [^\W_]&[^\W_](?![^\W_]) | [^\W\d_]{{2}}&[^\W_](?![^\W_])        # R&B, AT&T
    | (?:[dol]')?[^\W_](?:[^\W_]|_(?=[^\W_]))*(?:-[^\W_]+)*(?:'(?=all\b))?   # words
      (?:(?<=[^\W\d_])\.[^\W\d_]+)*                                   # names of sites and files
    | \.{{3,}} | -{{2,}} | [!?]+
    | \S
    """,
    re.VERBOSE | re.IGNORECASE,
)


def caption_words(caption: str) -> list[str]:
    r"""Return the words of a caption, lower case, without punctuation.

    >>> caption_words("A man's sign says \"DON'T walk!\" at 5:30 p.m.")
    ['a', 'man', "'s", 'sign', 'says', 'do', "n't", 'walk', 'at', '5:30', 'p.m.']
    """
    text = caption.translate(_SAME).lower()
    text = _TWO_IN_ONE.sub(lambda match: " ".join(part for part in match.groups() if part), text)
    tokens = _TOKEN.findall(_CLITIC.sub(r" \1", text))
    return [_BRACKETS.get(token, token).replace(" ", "\u00a0") for token in tokens if token not in _DROPPED]
