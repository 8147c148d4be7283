"""Judges behind an OpenAI-compatible endpoint: a rubric is sent for each completion, and the answer's score read."""

import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from snql.errors import InputError, RunError
from snql.judges import rubric
from snql.judges.base import WORSE, JudgeInfo, Loader, Pair, Verdict
from snql.judges.options import JudgeOptions

KEYS = ("SNQL_JUDGE_API_KEY", "OPENAI_API_KEY")
"""Environment variables that a key is taken from, the first that is set; with none a local server is sent ``none``."""

TEMPERATURE = 0.0
SEED = 0
MAX_TOKENS = 1024

_REFUSED = {401: "the key is wrong or missing", 403: "the key may not use it", 404: "there is no such model or path"}
_UNREACHABLE = ("ConnectError", "ConnectTimeout")


def prepare(name: str, rest: str, options: JudgeOptions) -> Loader:
    """What makes the judge ``URL#MODEL``. Raises InputError for a URL that cannot be used, or a wrong rubric."""
    url, _, model = rest.rpartition("#")
    _check_url(url, model)
    if importlib.util.find_spec("openai") is None:
        raise InputError(f"judge {name!r} needs the openai client: install snql with the extra llm")
    text = rubric.own(rubric.HARM) if options.rubric is None else rubric.read(options.rubric)
    return lambda: EndpointJudge(name, url, model, text, options)


def _check_url(url: str, model: str) -> None:
    """Raises InputError; the URL may hold a password, so that messages do not repeat it."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is no number
    except ValueError as error:
        raise InputError("judge llm: the URL cannot be read; write llm:URL#MODEL") from error
    if "@" in parts.netloc or parts.query:
        raise InputError(f"judge llm: the URL holds a password or a query; give a key by {KEYS[0]} in the environment")
    if parts.scheme not in ("http", "https") or not parts.hostname or not model:
        raise InputError("judge llm: write llm:URL#MODEL, such as llm:http://localhost:8000/v1#my-model")


class EndpointJudge:
    """Asks a model to rate completions by a rubric; an answer without exactly one score is a missing score.

    Requests that fail for a while (429, 5xx, timeouts, dropped connections) are sent again by the client, after a time
    that doubles and is jittered, or that the server asks for.
    """

    def __init__(self, name: str, url: str, model: str, text: rubric.Rubric, options: JudgeOptions) -> None:
        self._name, self._url, self._model, self._rubric = name, url, model, text
        self._options = options
        self._client = _client(url, options)
        self._down: RunError | None = None

    @property
    def info(self) -> JudgeInfo:
        settings = {
            "url": self._url,
            "model": self._model,
            "range": [self._rubric.lowest, self._rubric.highest],
            "temperature": TEMPERATURE,
            "seed": SEED,
            "max_tokens": MAX_TOKENS,
        }
        return rubric.described(self._name, "llm", settings, self._options.higher_is(WORSE), self._rubric)

    @property
    def at_once(self) -> int:
        return 4 * self._options.concurrency

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Raises RunError if the endpoint cannot be reached or does not let us in."""
        self._down = None
        with ThreadPoolExecutor(self._options.concurrency) as pool:
            asked = [pool.submit(self._ask, pair) for pair in pairs]
            try:
                return [future.result() for future in asked]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _ask(self, pair: Pair) -> Verdict:
        import openai

        if self._down is not None:  # found by a request beside this one
            raise self._down
        try:
            answer = self._client.chat.completions.with_raw_response.create(
                model=self._model,
                messages=[{"role": "user", "content": self._rubric.filled(pair)}],
                temperature=TEMPERATURE,
                seed=SEED,
                max_tokens=MAX_TOKENS,
            )
            return Verdict(self._rubric.score(content(answer.http_response.text)))
        except openai.APIError as error:
            outage = self._outage(error)
            if outage is not None:
                self._down = RunError(f"judge {self._name}: the endpoint {outage}")
                raise self._down from None
            status = f" with {error.status_code}" if isinstance(error, openai.APIStatusError) else ""
            return Verdict(None, problem=f"request failed{status}: {self._clean(error)}")
        except ValueError as error:
            return Verdict(None, problem=str(error))

    def _outage(self, error: Exception) -> str | None:
        """Why the next request would fail too; None if it may not."""
        status = getattr(error, "status_code", None)
        if status in _REFUSED:
            return f"answered {status}: {_REFUSED[status]}"
        causes = list(_causes(error))
        if any(type(cause).__name__ in _UNREACHABLE for cause in causes):
            return f"cannot be reached ({self._clean(causes[-1])})"
        return None

    def _clean(self, error: BaseException) -> str:
        """An error in a line, without the key."""
        text = " ".join(str(error).split()) or type(error).__name__
        key = self._client.api_key
        return text.replace(key, "***")[:200] if key != "none" else text[:200]


def _client(url: str, options: JudgeOptions) -> Any:
    import openai

    key = next((os.environ[name] for name in KEYS if os.environ.get(name)), "none")
    return openai.OpenAI(base_url=url, api_key=key, max_retries=options.retries, timeout=options.timeout)


def content(body: str) -> str:
    """The assistant's text in the JSON that an endpoint answered. Raises ValueError with what is wrong."""
    try:
        choice = json.loads(body)["choices"][0]
        text, reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"the endpoint's answer is no chat completion: {rubric.shown(body)}") from None
    if reason == "length":
        raise ValueError(f"the answer was cut off: {rubric.shown(str(text or ''))}")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"the answer is empty (finish reason {reason})")
    return text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
