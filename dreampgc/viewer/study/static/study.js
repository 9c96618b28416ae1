"use strict";
// One question after the other. The server knows which comes next; this page keeps nothing.

const get = (id) => document.getElementById(id);
let stage = null;
let question = null;

async function api(path, content) {
  const sent = content && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) };
  const answer = await fetch(path, sent);
  const state = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(state.error), { final: answer.status === 403 });
  return state;
}

function say(title, text) {
  get("question").hidden = true;
  const message = get("message");
  message.querySelector("h1").textContent = title;
  message.querySelector("p").textContent = text;
  message.hidden = false;
}

async function start() {
  try {
    present(await api("/api/state"));
  } catch (error) {
    say("Sorry", error.final ? error.message : "The study does not answer. Please reload the page in a while.");
  }
}

function present(state) {
  question = state.question;
  if (!question) {
    stage?.clear();
    return say("Thank you", "Your answers are kept. You may close this page.");
  }
  try {
    stage ??= new Stage();
  } catch {
    return say("Sorry", "This browser cannot show 3D models (WebGL is off or missing). Please try another one.");
  }
  Object.assign(get("bar"), { max: state.total, value: state.answered });
  get("count").textContent = `${state.answered + 1} of ${state.total}`;
  get("ask").textContent = state.ask;
  get("prompt").textContent = question.prompt;
  get("trouble").textContent = "";
  get("message").hidden = true;
  get("question").hidden = false;
  stage.clear();
  get("models").replaceChildren(...question.meshes.map(card));
  for (const element of get("models").children) load(element);
  refresh();
}

function card(mesh, number) {
  const element = get("model").content.cloneNode(true).firstElementChild;
  const input = element.querySelector("input");
  input.value = mesh;
  input.setAttribute("aria-label", `Model ${number + 1}`);
  element.querySelector("canvas").setAttribute("aria-label", `Model ${number + 1}`);
  return element;
}

async function load(element) {
  const [state, canvas, input] = ["p", "canvas", "input"].map((name) => element.querySelector(name));
  state.textContent = "Loading";
  try {
    await stage.show(canvas, `/meshes/${input.value}.glb`);
    element.dataset.shown = "";
    state.textContent = "";
  } catch {
    const again = Object.assign(document.createElement("button"), { type: "button", textContent: "Try again" });
    again.addEventListener("click", () => load(element));
    state.replaceChildren("This model did not load.", again);
  }
  refresh();
}

// A vote counts only when its voter has seen all models.
function refresh() {
  const shown = document.querySelectorAll("[data-shown]").length === question?.meshes.length;
  for (const input of document.querySelectorAll("input")) input.disabled = !shown;
  get("next").disabled = !shown || !document.querySelector("input:checked");
}

async function vote(event) {
  event.preventDefault();
  const mesh = document.querySelector("input:checked")?.value;
  if (!mesh || get("next").disabled) return;
  get("next").disabled = true;
  try {
    present(await api("/api/votes", { question: question.id, mesh }));
  } catch (error) {
    if (error.final) return say("Sorry", error.message);
    get("trouble").textContent = "Your answer did not get through. Please try again.";
    refresh();
  }
}

get("question").addEventListener("submit", vote);
get("models").addEventListener("change", refresh);
// A page that the browser kept for its Back button may show a question that is answered.
addEventListener("pageshow", (event) => event.persisted && start());
start();
