"""A gateway that misbehaves on purpose, by scripts that are data, for clients in any language.

`python -m tests.clients.scripted` starts it and prints `{"url": "http://127.0.0.1:PORT"}`. Then

- `GET /scripts` lists the scripts: what the client does (`client`, `do`) and what has to come of it (`expect`);
- a client connects to `URL` with the session id `NAME~RUN`: the script, and a word of its own for this run of it;
- `GET /runs/NAME~RUN` answers, once its connections have ended, `{"problems": [...]}`: what the gateway saw go wrong.

For browsers, which don't tell why an upgrade was refused, `GET /api/sessions/NAME~RUN` answers as the last upgrade was;
`GET /client/` is an empty page beside the modules of the browser client.

What the keys mean is told in `scripts.py`.
"""
