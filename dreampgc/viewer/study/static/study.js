/* One question after the other. The server knows which comes next; this page keeps nothing. */
"use strict";

const get = (id) => document.getElementById(id);
let studio = null; /* draws all models, made for the first question */
let views = []; /* of this question's models */
let question = null;

async function api(path, content) {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(path, content && { method: "POST", headers, body: JSON.stringify(content) });
    const state = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(state.error), { status: answer.status });
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
        say("Sorry", error.status === 403 ? error.message : "The study does not answer. Please reload the page in a while.");
    }
}

function present(state) {
    question = state.question;
    views.forEach(discard);
    views = [];
    if (!question) return say("Thank you", "Your answers are kept. You may close this page.");
    try {
        studio ??= new Studio();
    } catch {
        return say("Sorry", "This browser cannot show 3D models (WebGL is off or missing). Please try another one.");
    }
    Object.assign(get("bar"), { max: state.total, value: state.answered });
    get("count").textContent = `${state.answered + 1} of ${state.total}`;
    get("ask").textContent = state.ask;
    get("prompt").textContent = `“${question.prompt}”`;
    get("trouble").textContent = "";
    get("message").hidden = true;
    get("question").hidden = false;
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
        const answer = await fetch(`/meshes/${input.value}.glb`);
        if (!answer.ok) throw new Error(answer.statusText);
        await show(canvas, await answer.arrayBuffer());
        element.dataset.shown = "";
        state.textContent = "";
    } catch {
        const again = Object.assign(document.createElement("button"), { type: "button", textContent: "Try again" });
        again.addEventListener("click", () => load(element));
        state.replaceChildren("This model did not load.", again);
    }
    refresh();
}

/* Show a model so that it turns with the others. */
async function show(canvas, content) {
    const view = new View(studio, canvas);
    await view.load(content);
    if (!canvas.isConnected) return discard(view); /* the next question came first */
    /* Models may come in any unit. */
    Object.assign(view.camera, { near: 0.01 * view.radius, far: 100 * view.radius });
    view.fit();
    view.reset();
    view.onturn = turned;
    canvas.addEventListener("dblclick", () => views.forEach((one) => one.reset()));
    /* Here the wheel scrolls nothing that matters. */
    canvas.addEventListener("pointerenter", () => { view.controls.enableZoom = true; });
    views.push(view);
}

/* Bring all cameras to where a person brought one. Each sees its model as large as the others see theirs: methods must
   not be told apart by the sizes of their models. */
function turned(view) {
    const { position, target } = view.place;
    for (const other of views) {
        if (other === view) continue;
        const scale = other.radius / view.radius;
        other.follow({ position: position.clone().multiplyScalar(scale), target: target.clone().multiplyScalar(scale) });
    }
}

/* Free what the GPU holds of a model. */
function discard(view) {
    view.controls.dispose();
    view.scene.traverse((part) => {
        part.geometry?.dispose();
        for (const value of Object.values(part.material ?? {})) if (value?.isTexture) value.dispose();
    });
}

/* A vote counts only when its voter has seen all models. */
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
        if (error.status === 403) return say("Sorry", error.message);
        if (error.status === 404) return start(); /* the study asks other questions since this page was loaded */
        get("trouble").textContent = "Your answer did not get through. Please try again.";
        refresh();
    }
}

get("question").addEventListener("submit", vote);
get("models").addEventListener("change", refresh);
/* A page that the browser kept for its Back button may show a question that is answered. */
addEventListener("pageshow", (event) => event.persisted && start());
start();
