"""Trials of the group web: servers and clients, each within the sandbox."""

from typing import Final

from ci_toolkit.sandbox_env.trials.trial import Trial

__all__ = ["TRIALS"]

_SERVER: Final = """
import http.server, json, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"path": self.path}).encode())
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/fruit"
"""

TRIALS: Final = {
    "requests": Trial(
        "fetches JSON from a server within the sandbox",
        _SERVER
        + """
import requests
answer = requests.get(url, params={"n": 1}, timeout=5)
assert answer.json() == {"path": "/fruit?n=1"}
""",
    ),
    "httpx": Trial(
        "fetches JSON ten times at once, with await",
        _SERVER
        + """
import asyncio, httpx
async with httpx.AsyncClient() as client:
    answers = await asyncio.gather(*(client.get(url, params={"n": n}) for n in range(10)))
assert [answer.json()["path"] for answer in answers] == [f"/fruit?n={n}" for n in range(10)]
""",
    ),
    "fastapi": Trial(
        "answers and refuses requests of a small service",
        """
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
class Order(BaseModel):
    fruit: str
    number: int
app = FastAPI()
@app.post("/orders")
def order(order: Order) -> dict[str, int]:
    return {order.fruit: order.number * 2}
client = TestClient(app)
assert client.post("/orders", json={"fruit": "fig", "number": 2}).json() == {"fig": 4}
assert client.post("/orders", json={"fruit": "fig"}).status_code == 422
""",
    ),
    "Flask": Trial(
        "renders a page of a small site",
        """
from flask import Flask, render_template_string
app = Flask("shop")
@app.route("/<name>")
def page(name):
    return render_template_string("<p>Hello {{ name }}</p>", name=name)
assert app.test_client().get("/<b>").text == "<p>Hello &lt;b&gt;</p>"
""",
    ),
    "Django": Trial(
        "configures settings, renders a template, keeps a model in SQLite",
        """
import django
from django.conf import settings
database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
settings.configure(
    DATABASES={"default": database},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()
from django.db import connection, models
from django.template import engines
class Fruit(models.Model):
    name = models.CharField(max_length=20)
    class Meta:
        app_label = "shop"
def keep():
    with connection.schema_editor() as editor:
        editor.create_model(Fruit)
    Fruit.objects.create(name="fig")
    return Fruit.objects.filter(name__startswith="f").count()
import asyncio
assert await asyncio.to_thread(keep) == 1
assert engines["django"].from_string("{{ name|upper }}").render({"name": "fig"}) == "FIG"
""",
    ),
}
