"""peft behind HTTP as we are: adapter after adapter, since a batch of it cannot mix them, in one thread of its own.

`python -m tests.benchmarks._peft_server PORT ADAPTERS LENGTH`; the adapters' names are those of prompts, task0 and on.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from transformers import PreTrainedTokenizerBase

from methods import Backbone
from serve.schemas import Input, Output, PredictRequest, PredictResponse

from ._peers import peft_classifier

LABELS = ("negative", "positive")


def served(model: Any, tokenizer: PreTrainedTokenizerBase) -> FastAPI:
    """The same messages, and nothing between them and the model."""
    app, thread = FastAPI(), ThreadPoolExecutor(1)

    def answer(row: Input) -> Output:
        model.set_adapter(row.prompt.removeprefix("task"))
        encoded = tokenizer(row.text or "", return_tensors="pt")
        with torch.inference_mode():
            logits = model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits[0]
        scores: dict[str, float] = dict(zip(LABELS, logits.softmax(-1).tolist(), strict=True))
        label = max(scores, key=lambda name: scores[name])
        return Output(prompt=row.prompt, version=row.prompt, digest="", epoch=0, label=label, scores=scores)

    def answers(rows: list[Input]) -> list[Output]:
        return [answer(row) for row in rows]

    @app.post("/v1/predict", response_model_exclude_none=True)
    async def predict(body: PredictRequest) -> PredictResponse:
        outputs = await asyncio.get_running_loop().run_in_executor(thread, answers, body.inputs)
        return PredictResponse(outputs=outputs)

    @app.get("/healthz")
    async def healthz() -> None: ...

    return app


if __name__ == "__main__":
    port, adapters, length = map(int, sys.argv[1:])
    torch.set_num_threads(1)
    app = served(peft_classifier("prefix", length, adapters=adapters).eval(), Backbone.load().tokenizer)
    uvicorn.run(app, port=port, log_config=None, log_level="critical", access_log=False)
