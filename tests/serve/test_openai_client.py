"""OpenAI's `openai` client, as it comes, against the application on uvicorn."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

from methods import Artifact, Backbone
from registry import Move, Registry
from serve.config import ServeConfig

from .conftest import SENTIMENT, STORY, Publish
from .live import live


@pytest.fixture
def spoken(registry: Registry, make: Callable[..., Artifact], publish: Publish, speaker: Backbone) -> Registry:
    publish("story", make(STORY, 1, backbone=speaker))
    publish("story", make(STORY, 2, backbone=speaker))
    publish("sentiment", make(SENTIMENT, 3, backbone=speaker))
    registry.promote([Move("story:1"), Move("story:2", "staging"), Move("sentiment:1")], actor="ada")
    return registry


@pytest.fixture
def client(config: ServeConfig, spoken: Registry, speaker: Backbone) -> Iterator[openai.OpenAI]:
    with (
        live(replace(config, backbone=speaker.fingerprint.name)) as address,
        openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def test_the_client_completes_chats_and_streams(client: openai.OpenAI, spoken: Registry, speaker: Backbone) -> None:
    digest = spoken.resolve("story:1").digest
    models = {one.id: one for one in client.models.list()}
    assert list(models) == ["sentiment", "story", "story@staging"]
    assert client.models.retrieve("story:2").id == "story:2"

    whole = client.completions.create(model="story", prompt="the old bridge")
    assert (whole.object, whole.model, whole.system_fingerprint) == ("text_completion", "story", f"story:1 {digest}")
    (choice,) = whole.choices
    assert choice.text
    read = len(speaker.tokenizer("the old bridge")["input_ids"])
    assert whole.usage is not None
    assert whole.usage.prompt_tokens == read == 3
    assert 0 < whole.usage.completion_tokens <= 32
    assert whole.usage.total_tokens == read + whole.usage.completion_tokens
    assert choice.finish_reason == ("length" if whole.usage.completion_tokens == 32 else "stop")

    several = client.completions.create(model="story", prompt=["the old bridge", "a mayor"], temperature=0, seed=7)
    assert [one.index for one in several.choices] == [0, 1]
    assert several.choices[0].text == choice.text

    pieces = list(client.completions.create(model="story", prompt="the old bridge", stream=True))
    assert "".join(one.choices[0].text for one in pieces) == choice.text
    assert [one.choices[0].finish_reason for one in pieces][-1] == choice.finish_reason
    assert {one.id for one in pieces} == {pieces[0].id}

    asked: dict[str, Any] = {"model": "story", "messages": [{"role": "user", "content": "the old bridge"}]}
    chat = client.chat.completions.create(**asked)
    assert (chat.choices[0].message.role, chat.choices[0].message.content) == ("assistant", choice.text)
    assert chat.usage == whole.usage
    assert chat.system_fingerprint == f"story:1 {digest}"

    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "role" not in chunks[1].choices[0].delta.model_fields_set  # clients join what pieces say
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == choice.text
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    with client.chat.completions.stream(**asked) as stream:
        *_, last = [event for event in stream if event.type == "content.delta"]
    assert last.snapshot == choice.text

    raw = client.completions.with_raw_response.create(model="story@staging", prompt="the old bridge")
    assert raw.headers["x-promptctl-version"] == f"story:2 {spoken.resolve('story:2').digest}"
    assert raw.parse().choices[0].text != choice.text

    bare = client.completions.create(model="none", prompt="the old bridge")
    assert bare.system_fingerprint == f"none sha256:{speaker.fingerprint.weights}"


def test_fewer_tokens_are_the_beginning_of_the_answer(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "story", "prompt": "the old bridge"}
    whole = client.completions.create(**asked)
    short = client.completions.create(**asked, max_tokens=3)
    assert short.usage is not None
    assert (short.usage.completion_tokens, short.choices[0].finish_reason) == (3, "length")
    assert 0 < len(short.choices[0].text) < len(whole.choices[0].text)
    assert whole.choices[0].text.startswith(short.choices[0].text)
    events = list(client.completions.create(**asked, max_tokens=3, stream=True))
    assert len(events) > 1
    assert "".join(one.choices[0].text for one in events) == short.choices[0].text
    assert events[-1].choices[0].finish_reason == "length"
    more = client.completions.create(**asked, max_tokens=999)
    assert more.choices[0].text == whole.choices[0].text


def test_the_client_embeds(client: openai.OpenAI, spoken: Registry, speaker: Backbone) -> None:
    texts = ["the old bridge", "a mayor"]
    numbers = client.embeddings.create(model="sentiment", input=texts, encoding_format="float")
    packed = client.embeddings.create(model="sentiment", input=texts)  # the client asks for base64 and reads it
    assert [one.index for one in numbers.data] == [0, 1]
    assert {len(one.embedding) for one in numbers.data} == {speaker.hidden_size}
    for one, other in zip(numbers.data, packed.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert numbers.data[0].embedding != pytest.approx(numbers.data[1].embedding, abs=1e-3)
    assert numbers.usage.prompt_tokens == numbers.usage.total_tokens == 5  # 3 words and 2
    raw = client.embeddings.with_raw_response.create(model="sentiment", input="a mayor")
    assert raw.headers["x-promptctl-version"].startswith("sentiment:1 sha256:")
    with pytest.raises(openai.BadRequestError, match="row 0: "):
        client.embeddings.create(model="story", input="a mayor")
    with pytest.raises(openai.BadRequestError, match="dimensions: not offered here"):
        client.embeddings.create(model="sentiment", input="a mayor", dimensions=8)


def test_the_client_is_told_what_is_not_offered(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "story", "prompt": "the old bridge"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"n": 2}, "n: there is one answer: give 1, or leave it out"),
        ({"best_of": 3}, "best_of: there is one answer"),
        ({"temperature": 0.7}, "temperature: decoding is greedy: give 0, or leave it out"),
        ({"logprobs": 2}, "logprobs: not offered here"),
        ({"echo": True}, "echo: not offered here"),
        ({"suffix": "zebrafinch"}, "suffix: not offered here"),
        ({"logit_bias": {"5": 1}}, "logit_bias: not offered here"),
        ({"presence_penalty": 0.5}, "presence_penalty: not offered here"),
        ({"extra_body": {"zebrafinch": 1}}, "unknown field"),
        ({"model": "sentiment"}, "model: prompt 'sentiment' answers classification rows and generates no text"),
        ({"prompt": " "}, "row 0: a row of task 'story' has an empty text"),
        ({"prompt": [5, 6]}, "prompt"),
        ({"max_tokens": 0}, "max_tokens: input should be greater than or equal to 1"),
    ]
    for more, said in wrong:
        with pytest.raises(openai.BadRequestError) as refused:
            client.completions.create(**asked | more)
        assert said in refused.value.message
        assert "zebrafinch" not in refused.value.message
        assert isinstance(refused.value.body, dict)
        assert refused.value.body["type"] == "invalid_request_error"
    with pytest.raises(openai.NotFoundError, match="model: unknown prompt 'nobody'"):
        client.completions.create(model="nobody", prompt="the old bridge")
    with pytest.raises(openai.NotFoundError, match="unknown prompt 'nobody'"):
        client.completions.create(model="nobody", prompt="the old bridge", stream=True)

    chat: dict[str, Any] = {"model": "story", "messages": [{"role": "user", "content": "the old bridge"}]}
    tool = {"type": "function", "function": {"name": "zebrafinch", "parameters": {}}}
    wrong = [
        ({"tools": [tool]}, "tools: not offered here"),
        ({"logprobs": True}, "logprobs: not offered here"),
        ({"response_format": {"type": "json_object"}}, "response_format: not offered here"),
        ({"messages": []}, "messages: list should have at least 1 item"),
        ({"messages": [{"role": "tool", "content": "zebrafinch", "tool_call_id": "1"}]}, "messages[0].role: "),
    ]
    for more, said in wrong:
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**chat | more)
        assert said in refused.value.message
        assert "zebrafinch" not in refused.value.message


def test_an_answer_ends_before_a_stop(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="story", prompt="the old bridge").choices[0].text
    stop = whole[4:7]
    cut = client.completions.create(model="story", prompt="the old bridge", stop=["zebrafinch", stop]).choices[0]
    assert (cut.text, cut.finish_reason) == (whole[: whole.index(stop)], "stop")
    events = client.completions.create(model="story", prompt="the old bridge", stop=stop, stream=True)
    assert "".join(one.choices[0].text for one in events) == cut.text


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_generated_behind_a_stop(client: openai.OpenAI, stream: bool) -> None:
    asked: dict[str, Any] = {"model": "story", "prompt": "the old bridge"}
    whole = client.completions.create(**asked)
    assert whole.usage is not None
    text = whole.choices[0].text
    stop = text[len(text) // 4 : len(text) // 4 + 2]
    if stream:
        events = list(
            client.completions.create(**asked, stop=stop, stream=True, stream_options={"include_usage": True})
        )
        said, usage = "".join(one.choices[0].text for one in events if one.choices), events[-1].usage
        reason = [one.choices[0].finish_reason for one in events if one.choices][-1]
    else:
        found = client.completions.create(**asked, stop=stop)
        said, usage, reason = found.choices[0].text, found.usage, found.choices[0].finish_reason
    assert (said, reason) == (text[: text.index(stop)], "stop")
    assert usage is not None
    assert usage.completion_tokens < whole.usage.completion_tokens
    assert usage.prompt_tokens == whole.usage.prompt_tokens
