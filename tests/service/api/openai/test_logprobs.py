"""Log-probabilities in OpenAI's shape: exact bytes, halves of characters escaped, told with the text they begin."""

from __future__ import annotations

from dataclasses import replace

from model.request import TokenLogprob
from service.api.answers import Answer
from service.api.openai.answer import ChatAnswer
from service.api.openai.logprobs import LEAST, ChatLogprobs
from service.messages.from_worker import Delta
from tests.service.api.test_answers import finished, sent
from tests.support.small_model import small_tokenizer

TOKENIZER = small_tokenizer()


def events(text: str, stop: tuple[str, ...] = (), top: tuple[tuple[int, float], ...] = ()):
    """The events of an answer that is this text byte by byte, as an engine makes them."""
    stream = TOKENIZER.stream(stop)
    for number, byte in enumerate(text.encode()):
        token = next(token for token in range(300) if TOKENIZER.token_bytes(token) == bytes([byte]))
        shown = stream.push(token)
        yield Delta("row", (token,), shown, (TokenLogprob(-0.5 * number, top),), stream.shown_tokens)
    rest = stream.finish()
    yield replace(finished(rest), shown_tokens=stream.shown_tokens)


def chat(logprobs: bool = True) -> ChatAnswer:
    told = ChatLogprobs(TOKENIZER) if logprobs else None
    return ChatAnswer(Answer("id", "model", "answer", 1), 1, "fp", include_usage=False, logprobs=told)


def whole(*given, **more):
    answer = chat()
    for event in events(*given, **more):
        answer.take(0, event)
    return sent(answer.whole(preprocess_s=0.0, total_s=0.0))


def test_half_a_character_is_escaped_and_its_bytes_are_exact():
    content = whole(" \u00e9!")["choices"][0]["logprobs"]["content"]
    assert [each["token"] for each in content] == [" ", "\\xc3", "\\xa9", "!"]
    assert bytes(byte for each in content for byte in each["bytes"]) == " \u00e9!".encode()
    assert [each["logprob"] for each in content] == [0.0, -0.5, -1.0, -1.5]
    assert all(each["top_logprobs"] == [] for each in content)


def test_alternatives_have_text_and_bytes_of_their_own_and_no_infinity():
    letter = TOKENIZER.encode("z")[0]
    answer = whole("a", top=((letter, -0.25), (TOKENIZER.eos_id, -float("inf"))))
    top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    assert top == [
        {"token": "z", "logprob": -0.25, "bytes": [122]},
        {"token": "", "logprob": LEAST, "bytes": []},
    ]


def test_the_confidence_is_the_mean_of_all_tokens():
    assert whole("abc")["pheye"] == {"confidence": -0.5}


def test_a_stop_string_is_not_told_but_counts_for_the_confidence():
    answer = whole("ab stop", (" st",))
    assert answer["choices"][0]["message"]["content"] == "ab"
    assert [each["token"] for each in answer["choices"][0]["logprobs"]["content"]] == ["a", "b"]
    assert answer["choices"][0]["logprobs"]["refusal"] is None


def test_the_pieces_of_a_stream_tell_each_token_once_with_the_text_it_begins():
    text = "  a\u00e9 s \U0001f600 sto"
    answer, pieces = chat(), []
    for event in events(text, ("stop",)):
        chunk = answer.take(0, event)
        if chunk is not None:
            pieces.append(sent(chunk))
    [end, _] = answer.closing(preprocess_s=0.0, total_s=0.0)
    pieces.append(sent(end))
    told = [piece["choices"][0]["logprobs"] for piece in pieces]
    content = [each for logprobs in told if logprobs for each in logprobs["content"]]
    assert content == whole(text, ("stop",))["choices"][0]["logprobs"]["content"]
    for piece, logprobs in zip(pieces[:-1], told, strict=False):
        covered = bytes(byte for each in logprobs["content"] for byte in each["bytes"]).decode()
        assert covered.lstrip().startswith(piece["choices"][0]["delta"]["content"].strip()[:1])
    assert pieces[-1]["pheye"].keys() == {"confidence"}


def test_unasked_nothing_is_told():
    answer = chat(logprobs=False)
    chunks = [chunk for chunk in (answer.take(0, event) for event in events("ab")) if chunk is not None]
    assert all("logprobs" not in sent(chunk)["choices"][0] for chunk in chunks)
    assert sent(answer.whole(preprocess_s=0.0, total_s=0.0))["choices"][0]["logprobs"] is None
