"""Text that attacks, by the rule of each destination."""

import pytest

from snql.writing import inert
from snql.writing.inert import visible
from snql.writing.words import short_labels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](http://b)", "&#91;a&#93;(http&#58;//b)"),
        ("![i](x.png)", "!&#91;i&#93;(x.png)"),
        ("a|b", r"a\|b"),
        ("`c` *d* _e_ ~f~", r"\`c\` \*d\* \_e\_ \~f\~"),
        ("\\| x", r"\\\| x"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("$x$ www.y.z", "&#36;x&#36; www&#46;y.z"),
        ("two\nlines", "two<br>lines"),
        ("safety:5% & helpful - L3.N2", "safety:5% &amp; helpful - L3.N2"),
    ],
)
def test_markdown_cell(text: str, expected: str) -> None:
    assert inert.markdown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        (" =1", "' =1"),
        ("\t=1", "'\t=1"),
        ("\u202e=1", "'\ufffd=1"),
        ("\u200d\u2800\xa0-x", "'\u200d\u2800\xa0-x"),
        ("\uff1d1", "'\uff1d1"),
        ("a\nb\r", "a\nb␍"),
        ("a=1", "a=1"),
        ("", ""),
        ("\x1b[31m", "␛[31m"),
    ],
)
def test_separated_cell(text: str, expected: str) -> None:
    assert inert.separated(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50% & $x_1$ #2", r"50\% \& \$x\_1\$ \#2"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("a~b^c", r"a\textasciitilde{}b\textasciicircum{}c"),
        ("[x] * y", "{[}x{]} {*} y"),
        ("a---b ''", "a-{}-{}-b '{}'"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
        ("two\nlines\x1b", "two?lines?"),
        ('`"', r"\textasciigrave{}{\char34}"),
        ("a,,b", "a,{},b"),
        (
            "na\u00efve \u6f22\u5b57 \u2212 \u0105\u2026",
            "na\u00efve \\snqlother{\u6f22\u5b57} $-$ \\snqlother{\u0105}\\ldots{}",
        ),
    ],
)
def test_latex_cell(text: str, expected: str) -> None:
    assert inert.latex(text) == expected


def test_visible_keeps_letters_of_all_scripts() -> None:
    assert visible("naïve 漢字 العربية 👩\u200d🔬") == "naïve 漢字 العربية 👩\u200d🔬"
    assert visible("a\nb\x00\x7f\x9b\u2028\u202e", keep="\n") == "a\nb␀␡\ufffd␤\ufffd"


def test_labels_of_different_texts_differ() -> None:
    texts = [f"{'x' * 40}{number}{'y' * 40}" for number in range(3)]
    labels = short_labels(texts, 20)
    assert len(set(labels.values())) == 3
    assert all(len(label) <= 20 for label in labels.values())
    assert short_labels(["plain"])["plain"] == "plain"
