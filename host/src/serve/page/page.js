// The operators' page. Whatever comes from a server is put into the page as text, never as markup. The key stays in
// sessionStorage, and goes nowhere but into requests to this server.
"use strict";

const STORED = "edictum-operator-key";
const MOST_DECISIONS = 200;
const element = (id) => document.getElementById(id);
let key = sessionStorage.getItem(STORED);
let connection = null;

// Characters that turn the direction of a text around are shown as what they are.
const visible = (text) => String(text).replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
  (turn) => `[U+${turn.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
const make = (name, text, kind) => {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = visible(text);
  if (kind) made.className = kind;
  return made;
};
const time = (text) => {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleTimeString();
};
const row = (cells, kind) => {
  const made = make("tr", null, kind);
  made.append(...cells.map((cell) => (cell instanceof Node ? cell : make("td", cell))));
  return made;
};

class Refused extends Error {}

async function ask(path, options = {}) {
  const answer = await fetch(path, {
    ...options,
    cache: "no-store",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
  });
  if (answer.status === 401 || answer.status === 403) throw new Refused("This key is not an operator's.");
  return answer;
}

async function read(path) {
  const answer = await ask(path);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.message || `The server answers ${answer.status}.`);
  return body;
}

function card(approval) {
  const item = make("li");
  item.dataset.id = approval.id;
  const title = make("h3", `${approval.agent_id} asks for ${approval.tool_name}`);
  title.id = `title-${approval.id}`;
  item.setAttribute("aria-labelledby", title.id);
  item.append(title, make("p", approval.message));
  item.append(make("p", `${approval.env}, until ${time(approval.expires_at)}, then ${approval.timeout_action}`, "hint"));
  // As the text it is: read and printed again, large numbers would be others.
  if (approval.tool_args) item.append(make("pre", approval.tool_args_text));
  const answer = make("div", null, "answer");
  const field = make("div");
  const label = make("label", "Reason");
  const reason = make("input");
  reason.id = `reason-${approval.id}`;
  reason.maxLength = 1000;
  label.htmlFor = reason.id;
  field.append(label, reason);
  answer.append(field);
  for (const [word, text] of [["approve", "Approve"], ["reject", "Reject"]]) {
    const button = make("button", text);
    button.type = "button";
    button.dataset.answer = word;
    button.setAttribute("aria-describedby", title.id);
    button.addEventListener("click", () => decide(item, word === "approve", reason.value));
    answer.append(button);
  }
  item.append(answer);
  return item;
}

async function decide(item, approved, reason) {
  const buttons = item.querySelectorAll("button");
  buttons.forEach((button) => { button.disabled = true; });
  try {
    const path = `v1/approvals/${encodeURIComponent(item.dataset.id)}/decide`;
    const answer = await ask(path, {
      method: "POST",
      body: JSON.stringify({ approved, reason: reason || null, decided_via: "web" }),
    });
    const body = await answer.json();
    element("notice").textContent = answer.ok ? "" : body.message;
    const next = item.nextElementSibling || item.previousElementSibling;
    item.remove();
    (next ? next.querySelector("button") : element("main")).focus();
    count();
  } catch (error) {
    element("notice").textContent = error.message;
    buttons.forEach((button) => { button.disabled = false; });
  }
}

function count() {
  const waiting = element("approvals").children.length;
  element("approvals-count").textContent = waiting;
  element("approvals-none").hidden = waiting > 0;
  document.title = waiting ? `(${waiting}) Edictum` : "Edictum";
}

async function showApprovals() {
  const { approvals } = await read("v1/approvals?status=pending&limit=200");
  const list = element("approvals");
  const there = new Map([...list.children].map((item) => [item.dataset.id, item]));
  const wanted = new Set(approvals.map((approval) => approval.id));
  for (const [id, item] of there) if (!wanted.has(id)) item.remove();
  // The oldest first: what is being read does not move.
  for (const approval of approvals.reverse()) if (!there.has(approval.id)) list.append(card(approval));
  count();
}

async function showRulesets() {
  const { rulesets, troubles } = await read("v1/rulesets");
  element("rulesets").replaceChildren(...rulesets.map((ruleset) => row([
    ruleset.name, ruleset.version, ruleset.environment || "all", ruleset.signed ? "yes" : "no", time(ruleset.deployed_at),
  ])));
  element("troubles").replaceChildren(...Object.entries(troubles).map(([file, trouble]) => make("li", `${file}: ${trouble.message}`)));
}

async function showAgents() {
  const { total, agents } = await read("v1/agents?limit=200");
  element("agents-count").textContent = total;
  const rules = { true: "behind", false: "current", null: "not known" };
  element("agents").replaceChildren(...agents.map((agent) => row([
    agent.agent_id, agent.environment, agent.bundle_name ? `${agent.bundle_name}${agent.assigned ? " (assigned)" : ""}` : "none",
    rules[agent.behind], time(agent.connected_at),
  ])));
}

const good = new Set(["call_allowed", "call_executed", "call_approval_granted"]);
const bad = new Set(["call_blocked", "call_failed", "call_approval_blocked", "call_approval_timeout"]);

function showDecision(event) {
  const body = element("decisions");
  const action = make("td", event.action, good.has(event.action) ? "good" : bad.has(event.action) ? "bad" : "");
  body.prepend(row([time(event.timestamp), action, event.agent_id, event.tool_name, event.reason]));
  while (body.children.length > MOST_DECISIONS) body.lastElementChild.remove();
}

async function showDecisions() {
  const { events } = await read("v1/events?limit=50");
  element("decisions").replaceChildren();
  events.reverse().forEach(({ event }) => showDecision(event));
}

// Crowds of news are one look.
const soon = (look) => {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; look().catch(() => {}); }, 150);
  };
};
const news = { approvals: soon(showApprovals), rulesets: soon(showRulesets), agents: soon(showAgents) };

function hear(name, data) {
  if (name === "decision") showDecision(JSON.parse(data));
  else if (name.startsWith("approval_")) news.approvals();
  else if (name === "ruleset_updated") news.rulesets();
  else if (name === "agents_changed") news.agents();
}

async function listen(signal) {
  const answer = await ask("v1/stream", { signal });
  if (!answer.ok) throw new Error(`The server answers ${answer.status}.`);
  await Promise.all([showApprovals(), showRulesets(), showAgents(), showDecisions()]);
  element("state").textContent = "Connected";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const frames = rest.split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const lines = frame.split("\n");
      const part = (name) => lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
      const data = part("data").join("\n");
      if (data) hear(part("event")[0] || "", data);
    }
  }
}

async function run() {
  element("enter").hidden = true;
  element("board").hidden = false;
  element("leave").hidden = false;
  const mine = new AbortController();
  connection = mine;
  for (let wait = 500; !mine.signal.aborted; wait = Math.min(wait * 2, 15000)) {
    const since = Date.now();
    try {
      await listen(mine.signal);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof Refused) return leave(error.message);
    }
    if (mine.signal.aborted) return;
    element("state").textContent = "Not connected, trying again";
    if (Date.now() - since > 30000) wait = 500;
    await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
  }
}

function leave(why) {
  if (connection) connection.abort();
  key = null;
  sessionStorage.removeItem(STORED);
  for (const id of ["approvals", "decisions", "rulesets", "agents", "troubles"]) element(id).replaceChildren();
  element("board").hidden = true;
  element("leave").hidden = true;
  element("enter").hidden = false;
  element("state").textContent = "Not connected";
  element("refused").textContent = why || "";
  element("key").focus();
}

element("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  key = element("key").value.trim();
  element("key").value = "";
  element("refused").textContent = "";
  sessionStorage.setItem(STORED, key);
  run();
});
element("leave").addEventListener("click", () => leave());
if (key) run(); else element("key").focus();
