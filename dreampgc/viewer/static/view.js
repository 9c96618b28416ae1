/* The page of runs: one section for each kind of thing, in it one column for each run. All text enters as text. */
"use strict";

const { runs } = JSON.parse(document.getElementById("data").textContent);
const alone = runs.length === 1;
const MODES = { shaded: "Shaded", albedo: "Albedo", clay: "Clay", normals: "Normals", wireframe: "Wireframe" };
/* What the pictures of gradients use, from a thousandth to a thousand times the threshold. */
const SCALE_ENDS = ["c / 1000", "c", "1000 c"];

function element(name, properties = {}, ...children) {
    const { dataset, ...rest } = properties;
    const made = Object.assign(document.createElement(name), rest);
    Object.assign(made.dataset, dataset);
    made.append(...children.filter((child) => child !== null));
    return made;
}

/* A section with a column for each run; `make` gives a run's content, or null where it has none. */
function section(title, make, ...above) {
    const contents = runs.map(make);
    if (contents.every((content) => content === null)) return null;
    const nothing = () => element("p", { className: "none" }, "nothing here");
    const columns = contents.map((content, index) =>
        element("div", { className: "column" }, columnTitle(index), content ?? nothing()));
    const beside = element("div", { className: "columns" }, ...columns);
    return element("section", {}, element("h2", {}, title), ...above, beside);
}

function columnTitle(index) {
    return alone ? null : element("h3", {}, runs[index].prompt);
}

function bytesOf(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
    return bytes.buffer;
}

/* Meshes */

const views = [];
let studio = null;
let linked = true;

function stage(run) {
    if (run.image !== null) {
        return element("div", { className: "stage" }, element("img", { src: run.image, alt: run.prompt }));
    }
    if (run.mesh === null) return element("div", { className: "stage empty" }, element("p", {}, "no mesh to show"));
    const hint = "Drag to turn, click and scroll to come nearer.";
    const canvas = element("canvas", { tabIndex: 0, title: hint, dataset: { state: "loading" } });
    canvas.setAttribute("aria-label", `${run.prompt}: a mesh. Arrow keys turn it.`);
    return element("div", { className: "stage" }, canvas);
}

async function fill(canvas, run) {
    try {
        studio ??= new Studio();
        const view = new View(studio, canvas);
        await view.load(bytesOf(run.mesh));
        view.onturn = (turned) => {
            if (linked) views.forEach((other) => { if (other !== turned) other.follow(turned.place); });
        };
        views.push(view);
        resetAll();
        view.fit();
        requestAnimationFrame(() => requestAnimationFrame(() => { canvas.dataset.state = "shown"; }));
    } catch (error) {
        canvas.dataset.state = "failed";
        canvas.replaceWith(element("p", {}, `The mesh cannot be shown: ${error.message}`));
    }
}

/* All cameras at the place from which even the largest object is seen whole: so sizes can be compared. */
function resetAll() {
    const radius = Math.max(...views.map((view) => view.radius));
    for (const view of views) view.reset(radius);
}

function tools() {
    const choices = Object.entries(MODES).map(([mode, label]) => {
        const input = element("input", { type: "radio", name: "mode", value: mode, checked: mode === "shaded" });
        input.addEventListener("change", () => views.forEach((view) => view.show(mode)));
        return element("label", {}, input, element("span", {}, label));
    });
    const reset = element("button", { type: "button", onclick: resetAll }, "Reset view");
    const link = element("input", { type: "checkbox", checked: true, name: "linked" });
    link.addEventListener("change", () => { linked = link.checked; });
    const modes = element("div", { className: "modes", role: "radiogroup", ariaLabel: "What to show" }, ...choices);
    const bar = [modes, reset];
    if (!alone) bar.push(element("label", { className: "link" }, link, "turn together"));
    return element("div", { className: "tools" }, ...bar);
}

function facts(run) {
    const pairs = run.facts.flatMap(([label, text]) => [element("dt", {}, label), element("dd", {}, text)]);
    return element("dl", {}, ...pairs);
}

function problems(run) {
    if (run.problems.length === 0) return null;
    return element("ul", { className: "problems" }, ...run.problems.map((problem) => element("li", {}, problem)));
}

function state(run) {
    return run.state === "done" ? null : element("span", { className: `state ${run.state}` }, run.state);
}

function turntable(run) {
    if (run.turntable === null) return null;
    return element("img", { className: "turntable", src: run.turntable, alt: `${run.prompt}, turning` });
}

function card(run) {
    const beside = element("div", { className: "beside" }, alone ? turntable(run) : null, problems(run), facts(run));
    const title = alone ? null : element("h3", {}, run.prompt, state(run));
    return element("article", { className: "card" }, stage(run), title, beside);
}

function meshes() {
    const cards = element("div", { className: alone ? "single" : "columns" }, ...runs.map(card));
    return element("section", {}, runs.some((run) => run.mesh !== null) ? tools() : null, cards);
}

/* Curves and pictures */

function charts() {
    const scales = CHARTS.map((chart) => scaleOf(chart, runs));
    return section("Training", (run) => {
        const figures = CHARTS.map((chart, index) => drawChart(chart, run, scales[index])).filter((figure) => figure);
        return figures.length ? element("div", { className: "charts" }, ...figures) : null;
    });
}

/* Pictures of one kind, all of the step that a slider names; a run shows its nearest one. */
function pictures(title, kind, className, ...notes) {
    const steps = [...new Set(runs.flatMap((run) => run[kind].map(({ step }) => step)))].sort((a, b) => a - b);
    const shown = [];
    const slider = element("input", { type: "range", min: 0, max: steps.length - 1, value: steps.length - 1 });
    slider.setAttribute("aria-label", `${title}: step`);
    const label = element("output");
    const show = () => {
        const step = steps[slider.value];
        label.textContent = `step ${step}`;
        for (const [image, list] of shown) {
            const distance = (picture) => Math.abs(picture.step - step);
            const nearest = list.reduce((best, picture) => (distance(picture) < distance(best) ? picture : best));
            image.src = nearest.url;
            image.alt = `${title}, step ${nearest.step}`;
        }
    };
    const made = section(title, (run) => {
        if (run[kind].length === 0) return null;
        const image = element("img", { className });
        shown.push([image, run[kind]]);
        return image;
    }, element("div", { className: "slider" }, ...(steps.length > 1 ? [slider] : []), label), ...notes);
    slider.addEventListener("input", show);
    if (made !== null) show();
    return made;
}

function gradientNotes() {
    const text = "The norm of every pixel's gradient, before shaping on the left and after it on the right, "
        + "relative to the threshold c.";
    const ends = element("div", {}, ...SCALE_ENDS.map((end) => element("span", {}, end)));
    return [
        element("p", {}, text),
        element("div", { className: "scale" }, element("div", { className: "colours" }), ends),
    ];
}

/* Configurations */

/* Several runs: a row for each key, a column for each run. */
function table(keys) {
    const prompts = runs.map((run) => element("th", { scope: "col" }, run.prompt));
    const rows = keys.map((key) => {
        const values = runs.map((run) => element("td", {}, run.config[key] ?? "–"));
        return element("tr", {}, element("th", { scope: "row" }, key), ...values);
    });
    const head = element("tr", {}, element("td"), ...prompts);
    return element("div", { className: "scroll" }, element("table", {}, head, ...rows));
}

/* One run: its settings by section. */
function settings(run) {
    const groups = new Map();
    for (const [key, value] of Object.entries(run.config)) {
        const [group, name] = key.includes(".") ? key.split(/\.(.*)/) : ["run", key];
        groups.set(group, [...(groups.get(group) ?? []), [name, value]]);
    }
    const lists = [...groups].map(([group, pairs]) => {
        const items = pairs.flatMap(([name, value]) =>
            [element("dt", {}, name.replaceAll("_", " ")), element("dd", {}, value || "–")]);
        return element("div", { className: "group" }, element("h3", {}, group), element("dl", {}, ...items));
    });
    return element("div", { className: "settings" }, ...lists);
}

function configuration() {
    const keys = [...new Set(runs.flatMap((run) => Object.keys(run.config)))];
    if (keys.length === 0) return null;
    if (alone) return element("section", {}, element("h2", {}, "Configuration"), settings(runs[0]));
    const differing = keys.filter((key) => new Set(runs.map((run) => run.config[key])).size > 1);
    const rest = keys.filter((key) => !differing.includes(key));
    const what = differing.length ? table(differing) : element("p", {}, "All runs have the same configuration.");
    const more = element("details", {}, element("summary", {}, `${rest.length} settings that all share`), table(rest));
    return element("section", {}, element("h2", {}, "Configuration"), what, rest.length ? more : null);
}

/* The page */

document.body.append(
    element("header", {}, element("p", { className: "brand" }, "dreampgc"),
        element("h1", {}, alone ? runs[0].prompt : `${runs.length} runs`, alone ? state(runs[0]) : null)),
    element("main", {}, ...[
        meshes(),
        alone ? null : section("Turntables", turntable),
        charts(),
        pictures("Previews", "previews", "preview"),
        pictures("Gradients", "gradients", "gradient", ...gradientNotes()),
        configuration(),
    ].filter((part) => part !== null)),
);
const canvases = [...document.querySelectorAll("canvas")];
runs.filter((run) => run.mesh !== null && run.image === null).forEach((run, index) => fill(canvases[index], run));
