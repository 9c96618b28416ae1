/* Curves over the steps of a run, as SVG. A curve is drawn faintly as it is, and clearly as its running mean. */
"use strict";

const CHARTS = [
    { title: "Loss", curves: { loss: "loss" } },
    {
        title: "Gradient at a pixel",
        curves: { gradient_median: "median", gradient_p99: "99th percentile", gradient_maximum: "maximum" },
        log: true,
        threshold: true,
    },
    { title: "Opacity", curves: { opacity: "opacity" } },
];
const SIZE = { width: 360, height: 176, left: 40, right: 6, top: 8, bottom: 20 };
/* Steps that the running mean remembers, as a share of all. */
const MEMORY = 0.03;

function svg(name, attributes = {}, text = "") {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
}

/* Least and greatest; a list may be too long to be the arguments of Math.min. */
function rangeOf(values) {
    return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

/* The scale of a chart: one for all runs, so that charts side by side compare. */
function scaleOf(chart, runs) {
    const names = Object.keys(chart.curves);
    let values = runs.flatMap((run) => names.flatMap((name) => run.curves[name] ?? []));
    values = values.filter((value) => value !== null && (!chart.log || value > 0));
    if (chart.threshold) values = values.concat(runs.map((run) => run.threshold).filter((value) => value > 0));
    const steps = runs.flatMap((run) => run.curves.step ?? []);
    if (values.length === 0) return null;
    const through = chart.log ? Math.log10 : (value) => value;
    const [low, high] = rangeOf(values.map(through));
    const room = 0.04 * (high - low) || 0.5;
    const last = Math.max(rangeOf(steps)[1], 1);
    const { width, height, left, right, top, bottom } = SIZE;
    const y = (value) => top + (height - top - bottom) * (1 - (through(value) - low + room) / (high - low + 2 * room));
    return { x: (step) => left + (width - left - right) * step / last, y, low, high, last };
}

/* Round numbers between the ends of a scale: decades, or steps of 1, 2 or 5. */
function ticksOf(chart, { low, high }) {
    if (chart.log && high - low > 1) {
        const every = Math.ceil((high - low) / 4);
        const decades = Array.from({ length: Math.floor(high) - Math.ceil(low) + 1 }, (_, i) => Math.ceil(low) + i);
        return decades.filter((decade) => decade % every === 0).map((decade) => 10 ** decade);
    }
    const [from, to] = chart.log ? [10 ** low, 10 ** high] : [low, high];
    const rough = (to - from) / 4 || 1;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const size = [1, 2, 5, 10].map((factor) => factor * unit).find((candidate) => candidate >= rough);
    const first = Math.ceil(from / size);
    return Array.from({ length: Math.floor(to / size) - first + 1 }, (_, i) => (first + i) * size);
}

function brief(value) {
    return value === null || value === undefined ? "–" : String(Number(value.toPrecision(3)));
}

function path(points) {
    let pen = "M";
    let text = "";
    for (const point of points) {
        if (point === null) { pen = "M"; continue; }
        text += `${pen}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
        pen = "L";
    }
    return text;
}

/* A list without noise: an exponential mean, of the logarithms where the scale is one. */
function smoothed(values, log) {
    const weight = 1 / Math.max(1, MEMORY * values.length);
    let mean = null;
    return values.map((value) => {
        if (value === null || (log && value <= 0)) return null;
        const now = log ? Math.log(value) : value;
        mean = mean === null ? now : mean + weight * (now - mean);
        return log ? Math.exp(mean) : mean;
    });
}

/* A figure with one chart of one run, or null where there is nothing to draw. */
function drawChart(chart, run, scale) {
    const steps = run.curves.step ?? [];
    if (scale === null || steps.length === 0) return null;
    const names = Object.keys(chart.curves).filter((name) => run.curves[name].some((value) => value !== null));
    if (names.length === 0) return null;
    const picture = svg("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": chart.title });
    drawFrame(picture, chart, scale);
    if (chart.threshold && run.threshold > 0) {
        const y = scale.y(run.threshold);
        picture.append(svg("line", { class: "threshold", x1: SIZE.left, x2: SIZE.width - SIZE.right, y1: y, y2: y }));
    }
    names.forEach((name, number) => {
        const values = run.curves[name];
        const points = (list) => list.map((value, index) =>
            (value === null || (chart.log && value <= 0) ? null : [scale.x(steps[index]), scale.y(value)]));
        picture.append(svg("path", { class: `raw c${number}`, d: path(points(values)) }));
        picture.append(svg("path", { class: `mean c${number}`, d: path(points(smoothed(values, chart.log))) }));
    });
    const figure = document.createElement("figure");
    figure.className = "chart";
    const caption = document.createElement("figcaption");
    figure.append(caption, picture);
    readOut(picture, caption, chart, names, run, scale);
    return figure;
}

function drawFrame(picture, chart, scale) {
    const { width, height, left, right, bottom } = SIZE;
    for (const value of ticksOf(chart, scale)) {
        const y = scale.y(value);
        picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y, y2: y }));
        picture.append(svg("text", { x: left - 5, y: y + 3.5, "text-anchor": "end" }, brief(value)));
    }
    const ends = [[0, "start"], [scale.last, "end"]];
    for (const [step, anchor] of ends) {
        picture.append(svg("text", { x: scale.x(step), y: height - bottom + 14, "text-anchor": anchor }, String(step)));
    }
}

/* The caption: names, and under the pointer the values there. */
function readOut(picture, caption, chart, names, run, scale) {
    const steps = run.curves.step;
    const cursor = svg("line", { class: "cursor", y1: SIZE.top, y2: SIZE.height - SIZE.bottom });
    const title = document.createElement("strong");
    title.textContent = chart.title;
    const keys = names.map((_, number) =>
        Object.assign(document.createElement("span"), { className: `key c${number}` }));
    caption.append(title, ...keys);
    const say = (index) => {
        names.forEach((name, number) => {
            const label = names.length > 1 ? `${chart.curves[name]} ` : "";
            keys[number].textContent = index === null ? label : label + brief(run.curves[name][index]);
        });
        title.textContent = index === null ? chart.title : `${chart.title}, step ${steps[index]}`;
    };
    picture.addEventListener("pointermove", (event) => {
        const box = picture.getBoundingClientRect();
        const x = (event.clientX - box.left) * SIZE.width / box.width;
        let nearest = 0;
        steps.forEach((step, index) => {
            if (Math.abs(scale.x(step) - x) < Math.abs(scale.x(steps[nearest]) - x)) nearest = index;
        });
        cursor.setAttribute("x1", scale.x(steps[nearest]));
        cursor.setAttribute("x2", scale.x(steps[nearest]));
        picture.append(cursor);
        say(nearest);
    });
    picture.addEventListener("pointerleave", () => { cursor.remove(); say(null); });
    say(null);
}
