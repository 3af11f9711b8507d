// SPDX-License-Identifier: BSD-2-Clause
// Asks for /status.json again and again, and shows what moves. Names, metadata and addresses come from
// elsewhere: they go into the document as text only.
(() => {
"use strict";

const WINDOW_MS = 300000; // the most that a plot shows
const CLIENT_WINDOW_MS = 60000; // shown by the plot of a client
const LEAST_MS = 1000; // between two requests
const HIDDEN_MS = 30000; // the same while nobody sees the page
const LONGEST_RETRY_MS = 30000;
const BUSY_MS = 5000;
const ANSWER_MS = 10000; // after which a request has failed
const CLIENT_KEPT_MS = 60000; // history of a client that is not shown any more
const MOST_CLIENTS = 1000; // with a history

// ---- elements ----

const byId = id => document.getElementById(id);

// make("p.class", {title: "x"}, child, "text"...)
function make(kind, attributes, ...children) {
	const [tag, ...classes] = kind.split(".");
	const element = document.createElement(tag);
	if (classes.length)
		element.className = classes.join(" ");
	for (const [name, value] of Object.entries(attributes || {}))
		element.setAttribute(name, value);
	element.append(...children);
	return element;
}

function makeSvg(tag, attributes) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const [name, value] of Object.entries(attributes))
		element.setAttribute(name, value);
	return element;
}

// Only what changes: a text that is selected stays selected.
function setText(element, text) {
	if (element.textContent !== text)
		element.textContent = text;
}

function setClass(element, name, on) {
	element.classList.toggle(name, Boolean(on));
}

function setAttribute(element, name, value) {
	if (element.getAttribute(name) !== value)
		element.setAttribute(name, value);
}

// ---- numbers ----

function digits(value) {
	return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

function bytes(value) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
	let unit = 0;

	while (value >= 1023.5 && unit < units.length - 1) {
		value /= 1024;
		unit++;
	}
	return `${unit && value % 1 ? digits(value) : Math.round(value)} ${units[unit]}`;
}

const rate = value => value === null ? "–" : `${bytes(value)}/s`;

function seconds(value) {
	if (value === null)
		return "–";
	if (value === 0)
		return "0 s";
	if (value < 0.001)
		return `${digits(value * 1e6)} µs`;
	if (value < 1)
		return `${digits(value * 1000)} ms`;
	return value < 100 ? `${digits(value)} s` : span(value);
}

function span(value) {
	const whole = Math.floor(value);

	if (whole < 60)
		return `${whole} s`;
	if (whole < 3600)
		return `${Math.floor(whole / 60)} min ${whole % 60} s`;
	if (whole < 86400)
		return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
	return `${Math.floor(whole / 86400)} d ${Math.floor(whole % 86400 / 3600)} h`;
}

const count = value => value.toLocaleString("en").replaceAll(",", " ");
const clock = date => date.toLocaleTimeString("en-GB");

// ---- histograms ----

// Bounds of the buckets: three a decade, from 10 microseconds to 100 seconds.
const BOUNDS = [];
for (let power = -5; power < 2; power++)
	BOUNDS.push(...[1, 2.5, 5].map(step => step * 10 ** power));
BOUNDS.push(100);

// Quantile of what came between two histograms; within a bucket it is interpolated. null: nothing came.
function quantile(now, before, part) {
	const counts = now.buckets.map((number, i) => number - (before ? before.buckets[i] : 0));
	let left = part * counts.reduce((sum, number) => sum + number, 0);

	if (!(left > 0))
		return null;
	for (let i = 0; i < BOUNDS.length; i++) {
		if (left <= counts[i]) {
			const low = i ? BOUNDS[i - 1] : BOUNDS[0] / 2;
			return low * (BOUNDS[i] / low) ** (left / counts[i]);
		}
		left -= counts[i];
	}
	return BOUNDS[BOUNDS.length - 1];
}

// ---- plots ----

// A series: points [time, value]; null interrupts the line.
class Series {
	constructor() {
		this.points = [];
	}

	add(time, value) {
		this.points.push([time, value]);
		while (this.points[0][0] < time - WINDOW_MS)
			this.points.shift();
	}

	interrupt(time) {
		if (this.points.length && this.points[this.points.length - 1][1] !== null)
			this.points.push([time, null]);
	}

	get last() {
		return this.points.length ? this.points[this.points.length - 1][1] : null;
	}

	get peak() {
		return this.points.reduce((most, [, value]) => Math.max(most, value || 0), 0);
	}

	// The value at that time; null where there is none.
	at(time) {
		let best = null, distance = Infinity;
		for (const [when, value] of this.points) {
			if (Math.abs(when - time) < distance) {
				distance = Math.abs(when - time);
				best = value;
			}
		}
		return distance < WINDOW_MS / 20 ? best : null;
	}
}

// The first minute fills the plot; then it grows, up to WINDOW_MS.
function shownTime(now) {
	return Math.min(Math.max(now - known.since, 60000), WINDOW_MS);
}

const WIDTH = 300, HEIGHT = 100;

function linePath(points, now, shown, top, closed) {
	let path = "", open = false, x = 0;
	const end = () => closed && open ? `L${x} ${HEIGHT}Z` : "";

	for (const [time, value] of points) {
		if (time < now - shown)
			continue;
		if (value === null) {
			path += end();
			open = false;
			continue;
		}
		x = (WIDTH * (1 - (now - time) / shown)).toFixed(1);
		const y = (HEIGHT * (1 - value / top)).toFixed(1);
		if (!open)
			path += closed ? `M${x} ${HEIGHT}L${x} ${y}` : `M${x} ${y}`;
		else
			path += `L${x} ${y}`;
		open = true;
	}
	return path + end();
}

function makePlot(classes) {
	const svg = makeSvg("svg", {class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
		"aria-hidden": "true"});
	const fill = makeSvg("path", {class: "fill"});
	const lines = classes.map(name => makeSvg("path", {class: name}));
	svg.append(fill, ...lines);
	return {svg, fill, lines};
}

function drawPlot(plot, series, now, shown, top) {
	setAttribute(plot.fill, "d", linePath(series[0].points, now, shown, top, true));
	plot.lines.forEach((line, i) => setAttribute(line, "d", linePath(series[i].points, now, shown, top, false)));
}

// The top of an axis: a round number above the values.
function roundUp(value) {
	if (!(value > 0))
		return 1;
	const power = 10 ** Math.floor(Math.log10(value));
	return [1, 2, 5, 10].find(step => step * power >= value) * power;
}

function roundUpBytes(value) {
	const unit = 1024 ** Math.max(0, Math.floor(Math.log2(Math.max(value, 1)) / 10));
	return roundUp(Math.max(value, 1) / unit) * unit;
}

// A plot with a title, values, axes, and a cursor for the mouse and the arrow keys.
class Chart {
	constructor(title, lines, format, round) {
		this.title = title;
		this.format = format;
		this.round = round;
		this.series = lines.map(() => new Series());
		this.names = lines.map(([name]) => name);
		this.values = lines.map(() => make("b"));
		this.plot = makePlot(lines.map(([, style]) => style));
		this.base = makeSvg("line", {x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT});
		this.middle = makeSvg("line", {x1: 0, x2: WIDTH, y1: 0, y2: 0});
		this.cursor = makeSvg("line", {class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden"});
		this.events = [];
		this.plot.svg.prepend(this.middle, this.base);
		this.plot.svg.append(this.cursor);
		this.top = make("span");
		this.note = make("span");
		this.when = make("span");
		this.frame = make("div.frame", {tabindex: "0", role: "img"}, this.plot.svg);
		this.element = make("figure", null,
			make("figcaption", null, make("span", null, title), make("i", null,
				...lines.flatMap(([name, style], i) => [i ? "  " : "", name ? make(`span.key.${style}`, null, `${name} `) : "",
					this.values[i]]))),
			this.frame, make("div.axis", null, this.top, this.note, this.when));
		this.place = null; // of the cursor, from 0 to 1; null: none
		this.frame.addEventListener("pointermove", event => {
			const box = this.frame.getBoundingClientRect();
			this.point(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
		});
		this.frame.addEventListener("pointerleave", () => this.point(null));
		this.frame.addEventListener("blur", () => this.point(null));
		this.frame.addEventListener("keydown", event => this.key(event));
	}

	key(event) {
		const step = {ArrowLeft: -0.02, ArrowRight: 0.02}[event.key];
		if (step)
			this.point(Math.min(Math.max((this.place === null ? 1 : this.place) + step, 0), 1));
		else if (event.key === "Escape")
			this.point(null);
		else
			return;
		event.preventDefault();
	}

	point(place) {
		this.place = place;
		this.read(performance.now());
	}

	add(time, values) {
		values.forEach((value, i) => this.series[i].add(time, value));
	}

	interrupt(time) {
		this.series.forEach(series => series.interrupt(time));
	}

	// Mark a moment, such as a restart.
	mark(time) {
		const line = makeSvg("line", {class: "event", y1: 0, y2: HEIGHT});
		this.plot.svg.append(line);
		this.events.push({time, line});
	}

	read(now) {
		const chosen = this.place !== null;
		const time = now - shownTime(now) * (1 - this.place);
		setAttribute(this.cursor, "visibility", chosen ? "visible" : "hidden");
		if (chosen) {
			setAttribute(this.cursor, "x1", String(this.place * WIDTH));
			setAttribute(this.cursor, "x2", String(this.place * WIDTH));
		}
		this.series.forEach((series, i) => setText(this.values[i], this.format(chosen ? series.at(time) : series.last)));
		setText(this.when, chosen ? `${span((now - time) / 1000)} ago` : span(shownTime(now) / 1000).replace(" 0 s", ""));
		setAttribute(this.frame, "aria-label", `${this.title} ${this.note.textContent}: ${this.series.map((series, i) =>
			`${this.names[i]} ${this.values[i].textContent}, at most ${this.format(series.peak)}`).join("; ")}, ${
			chosen ? this.when.textContent : "now"}`);
	}

	draw(now) {
		const top = this.round(Math.max(...this.series.map(series => series.peak)));
		drawPlot(this.plot, this.series, now, shownTime(now), top);
		this.events = this.events.filter(({time, line}) => {
			const x = String(WIDTH * Math.max(0, 1 - (now - time) / shownTime(now)));
			if (now - time > WINDOW_MS)
				line.remove();
			setAttribute(line, "x1", x);
			setAttribute(line, "x2", x);
			return now - time <= WINDOW_MS;
		});
		setText(this.top, `↑ ${this.format(top)}`);
		this.read(now);
	}
}

// ---- what is known ----

const known = {
	status: null, // the last document, and
	tag: "", // its entity tag
	since: performance.now(), // when the page began
	streams: new Map(), // by name
	clients: new Map(), // by their addresses
	paused: false,
	failures: 0,
	restarts: 0,
};

const choice = {sort: "lag", ascending: false};

// Change of a counter a second; null: not known, as after a restart.
function perSecond(now, before, time) {
	return before === undefined || !(time > 0) || now < before ? null : (now - before) / time;
}

// ---- tiles ----

class Tile {
	constructor(name, format, warns) {
		this.format = format;
		this.warns = warns;
		this.series = new Series();
		this.plot = makePlot([warns ? "bad" : "a"]);
		this.value = make("strong", {"data-tile": name}, "–");
		this.element = make("div.tile", null, make("span", null, name), this.value, this.plot.svg);
	}

	draw(now) {
		const value = this.series.last;
		setText(this.value, value === null ? "–" : this.format(value));
		setClass(this.value, "bad", this.warns && value > 0);
		drawPlot(this.plot, [this.series], now, shownTime(now), this.series.peak * 1.1 || 1);
	}
}

const tiles = {
	clients: new Tile("Clients", count),
	in: new Tile("In", rate),
	out: new Tile("Out", rate),
	lag: new Tile("Slowest client", seconds),
	dropped: new Tile("Dropped", rate, true),
	loop: new Tile("Event loop, p99", seconds),
};
const summed = ["clients", "in", "out", "dropped"];

// ---- streams ----

const RING_STATES = ["pinned", "window", "filling", "retained", "free"];

class StreamCard {
	constructor(name) {
		this.name = name;
		this.before = null;
		this.state = make("span.badge");
		this.source = make("span.badge.warn");
		this.about = make("span.about");
		this.count = make("span.count");
		this.charts = {
			rate: new Chart("Rate", [["in", "a"], ["out", "b"]], rate, roundUpBytes),
			lag: new Chart("Lag of the slowest client", [["", "a"]], seconds, roundUp),
			latency: new Chart("Latency", [["p50", "a"], ["p99", "b"]], seconds, roundUp),
			dropped: new Chart("Dropped for slow clients", [["", "bad"]], rate, roundUpBytes),
		};
		this.parts = Object.fromEntries(RING_STATES.map(state => [state, make(`span.${state}`)]));
		this.labels = Object.fromEntries(RING_STATES.map(state => [state, make(`span.${state}`)]));
		this.size = make("b");
		this.legend = make("div.legend", null, this.size, ...Object.values(this.labels));
		this.ring = make("div.ring", {role: "img"}, ...Object.values(this.parts));
		this.endpoints = make("div");
		this.metadata = make("dl");
		this.counters = make("dl.counters");
		this.metadataPart = make("details", null, make("summary", null, "Metadata"), this.metadata);
		this.element = make("article.card", {"aria-label": `Stream ${name}`, "data-stream": name},
			make("div.title", null, make("h3", null, name), this.state, this.source, this.about, this.count),
			make("div.plots", null, ...Object.values(this.charts).map(chart => chart.element)),
			this.ring, this.legend,
			make("div.more", null,
				make("details", null, make("summary", null, "Connect"), this.endpoints),
				this.metadataPart,
				make("details", null, make("summary", null, "Counters"), this.counters)));
	}

	// Take a new report; time: seconds since the last one.
	take(report, now, time) {
		const before = this.before && time > 0 ? this.before : {};
		// Sends that copy are not timed to the acknowledgement.
		const latency = report.latency.to_acknowledged.count * 10 >= report.latency.to_send.count ? "to_acknowledged" : "to_send";
		const old = before.latency && before.latency[latency];

		this.now = {
			in: before.filled ? perSecond(report.filled.bytes, before.filled.bytes, time) : report.in_rate,
			out: before.filled ? perSecond(report.sent_bytes, before.sent_bytes, time) : report.out_rate,
			dropped: before.filled ? perSecond(report.dropped_bytes, before.dropped_bytes, time) : 0,
		};
		if (this.now.in === null)
			Object.assign(this.now, {in: report.in_rate, out: report.out_rate, dropped: 0});
		this.charts.rate.add(now, [this.now.in, this.now.out]);
		this.charts.lag.add(now, [report.most_lag_seconds]);
		this.charts.dropped.add(now, [this.now.dropped || 0]);
		this.charts.latency.note.textContent = latency === "to_send" ? "until sent" : "until acknowledged";
		this.charts.latency.add(now, [0.5, 0.99].map(part => quantile(report.latency[latency], old, part)));
		this.before = this.report = report;
	}

	// It is not configured any more.
	remove(now) {
		if (this.report && this.report.state !== "removed")
			this.charts.rate.mark(now);
		this.report = this.before = null;
		Object.values(this.charts).forEach(chart => chart.interrupt(now));
	}

	get has() {
		return this.report ? this.report.state : "removed";
	}

	draw(now) {
		const report = this.report;

		setText(this.state, this.has);
		this.state.className = `badge ${{running: "good", ended: "", removed: "", idle: "", ending: "warn"}[this.has] ?? "warn"}`;
		setClass(this.element, "gone", this.has === "ended" || this.has === "removed");
		Object.values(this.charts).forEach(chart => chart.draw(now));
		this.drawRing(report && report.ring, report && report.block_size);
		this.source.hidden = !report || !report.source_state || report.source_state === this.has;
		if (!report)
			return;
		setText(this.source, report.source_state ? `source ${report.source_state}` : "");
		setText(this.about, report.source ? `${report.source} · ${report.memory}` : "");
		setText(this.count, `${count(report.clients)} ${report.clients === 1 ? "client" : "clients"}`);
		this.drawMetadata(report.metadata || {});
		this.drawEndpoints(report);
		this.drawCounters(report);
	}

	drawRing(ring, size) {
		this.ring.hidden = this.legend.hidden = !ring;
		if (!ring)
			return;
		setText(this.size, `Ring of ${count(ring.all)} × ${bytes(size)}`);
		for (const state of RING_STATES) {
			this.parts[state].style.flexGrow = ring[state];
			setText(this.labels[state], `${state} ${count(ring[state])}`);
			this.labels[state].hidden = !ring[state];
		}
		setAttribute(this.ring, "aria-label", `Blocks of the ring: ${RING_STATES.map(state => `${ring[state]} ${state}`).join(", ")}`);
	}

	drawMetadata(metadata) {
		const entries = Object.entries(metadata);
		this.metadataPart.hidden = !entries.length;
		drawList(this.metadata, entries);
	}

	drawEndpoints(report) {
		const text = JSON.stringify([report.sections, report.endpoints]);
		if (this.drawn === text)
			return;
		this.drawn = text;
		this.endpoints.replaceChildren(...(report.sections || []).flatMap(section =>
			section.listen.flatMap(listen => endpointParts(this.name, section, listen, report.endpoints))));
	}

	drawCounters(report) {
		const nonzero = object => Object.entries(object || {}).filter(([, number]) => number).map(([name, number]) =>
			`${count(number)} ${name.replaceAll("_", " ")}`).join(", ");
		const lists = [
			["From the source", `${bytes(report.filled.bytes)} in ${count(report.filled.blocks)} blocks`],
			["Sent to clients", bytes(report.sent_bytes)],
			["Dropped", `${bytes(report.dropped_bytes)}, ${count(report.drops)} times`],
			["Lost at the device", report.filled.lost_blocks ? `${count(report.filled.lost_blocks)} blocks` : ""],
			["Source waited", report.filled.waits ? `${count(report.filled.waits)} times` : ""],
			["Source reopened", report.source_restarts ? `${count(report.source_restarts)} times` : ""],
			["Sends", `${count(report.zerocopy_sends)} zero-copy, of which the kernel copied ${count(report.completed_copied)}; ${
				count(report.copied_sends)} copied`],
			["Clients joined", count(report.joined)],
			["Clients refused", nonzero(report.refused_for)],
			["Clients left", nonzero(report.left)],
			["Device", report.kernel ? nonzero({overruns: report.kernel.overruns, stalls: report.kernel.stalls,
				errors: report.kernel.errors, quarantined: report.kernel.quarantined}) || "no overrun, stall or error" : ""],
		];
		drawList(this.counters, lists.filter(([, text]) => text));
	}
}

function drawList(list, entries) {
	while (list.children.length > 2 * entries.length)
		list.lastChild.remove();
	while (list.children.length < 2 * entries.length)
		list.append(make("dt"), make("dd"));
	entries.forEach(([name, text], i) => {
		setText(list.children[2 * i], name);
		setText(list.children[2 * i + 1], text);
	});
}

// ---- commands to copy ----

// As one word of a shell.
const word = text => /^[\w.,:/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

// Host and port of an endpoint, as seen from here; null: it has none that is known.
function addressOf(listen) {
	const match = /^(\*|\[[0-9A-Fa-f:.%\w]+\]|[\w.-]*):([0-9]+)$/.exec(listen);
	if (!match || match[2] === "0")
		return null;
	return {host: ["", "*", "[::]", "0.0.0.0"].includes(match[1]) ? location.hostname : match[1], port: match[2]};
}

function commandsFor(name, format, {host, port}) {
	const bare = host.replace(/^\[|\]$/g, "");
	const file = word(`${name}.raw`);

	if (format === "http")
		return [`curl -o ${file} ${word(`http://${host}:${port}/`)}`, `dmacastctl cat -o ${file} ${word(`http://${host}:${port}/`)}`];
	if (format === "framed")
		return [`dmacastctl cat -o ${file} ${word(`tcp://${host}:${port}`)}`, `nc ${word(bare)} ${port} > ${word(`${name}.frames`)}`];
	return [`nc ${word(bare)} ${port} > ${file}`, `dmacastctl cat -o ${file} ${word(`tcp://${host}:${port}`)}`];
}

async function copyText(text, button) {
	let done = true;
	try {
		await navigator.clipboard.writeText(text);
	} catch {
		// Without https there is no clipboard.
		const area = make("textarea", {readonly: ""}, text);
		document.body.append(area);
		area.select();
		done = document.execCommand("copy");
		area.remove();
		button.focus();
	}
	setText(button, done ? "Copied" : "Failed");
	setTimeout(() => setText(button, "Copy"), 1500);
}

function commandPart(text) {
	const button = make("button", {type: "button", "aria-label": `Copy: ${text}`}, "Copy");
	button.addEventListener("click", () => copyText(text, button));
	return make("div.command", null, make("code", null, text), button);
}

function endpointParts(name, section, listen, endpoints) {
	const address = addressOf(listen);
	const state = (endpoints || []).find(endpoint => endpoint.listen === listen);
	const waits = state && state.state === "waiting" ? `, waiting: ${state.reason}` : "";
	const title = `${listen} · ${section.format}${section.section ? ` · endpoint ${section.section}` : ""}${waits}`;
	const commands = address ? commandsFor(name, section.format, address).map(commandPart) :
		[make("p.listen", null, "Its port is in the log of the daemon, or in the socket unit.")];
	return [make("p.listen", null, title), ...commands];
}

// ---- clients ----

// The columns; sort: key of the daemon, or null if only the clients shown can be sorted by it.
const columns = [
	{key: "peer", name: "Client", sort: "peer", text: row => row.report.peer, style: "text mono"},
	{key: "stream", name: "Stream", sort: null, text: row => row.report.section ? `${row.report.stream}: ${row.report.section}` : row.report.stream, style: "text"},
	{key: "format", name: "Format", sort: null, text: row => row.report.format, style: "text"},
	{key: "state", name: "State", sort: null, text: row => row.report.state, style: "text"},
	{key: "rate", name: "Rate", sort: null, value: row => row.rate.last ?? -1, text: row => rate(row.rate.last), plot: "rate"},
	{key: "lag", name: "Lag", sort: "lag", value: row => row.report.lag_seconds, text: row => seconds(row.report.lag_seconds), plot: "lag", plotStyle: "b"},
	{key: "behind", name: "Behind", sort: null, value: row => row.report.lag_bytes, text: row => bytes(row.report.lag_bytes)},
	{key: "pinned", name: "Pinned", sort: "pinned", value: row => row.report.pinned_blocks, text: row => count(row.report.pinned_blocks)},
	{key: "dropped", name: "Dropped", sort: "dropped", value: row => row.report.dropped_bytes, text: row => row.report.dropped_bytes ? bytes(row.report.dropped_bytes) : "0", bad: true},
	{key: "sent", name: "Sent", sort: "sent", value: row => row.report.sent_bytes, text: row => bytes(row.report.sent_bytes)},
	{key: "connected", name: "Connected", sort: "connected", value: row => row.report.seconds, text: row => span(row.report.seconds)},
];
const columnOf = key => columns.find(column => column.key === key);

class ClientRow {
	constructor() {
		this.rate = new Series();
		this.lag = new Series();
		this.element = make("tr");
		this.cells = columns.map(column => {
			const cell = make(`td.${(column.style || "number").replaceAll(" ", ".")}`, {"data-label": column.name, "data-key": column.key});
			if (column.plot) {
				const plot = makePlot([column.plotStyle || "a"]), text = make("span");
				cell.append(make("div.cell", null, plot.svg, text));
				return {cell, text, plot};
			}
			return {cell, text: cell};
		});
		this.element.append(...this.cells.map(({cell}) => cell));
	}

	take(report, now, time) {
		const same = this.report && report.seconds >= this.report.seconds;
		const value = same ? perSecond(report.sent_bytes, this.report.sent_bytes, report.seconds - this.report.seconds) :
			report.seconds > 0 && report.seconds < 3 ? report.sent_bytes / report.seconds : null;

		if (!same || now - this.seen > 3 * time * 1000 + 2000)
			[this.rate, this.lag].forEach(series => series.interrupt(now));
		this.rate.add(now, value);
		this.lag.add(now, report.lag_seconds);
		this.report = report;
		this.seen = now;
	}

	draw(now) {
		columns.forEach((column, i) => {
			const {cell, text, plot} = this.cells[i];
			const words = column.text(this);
			setText(text, words);
			if (column.style)
				setAttribute(cell, "title", words);
			else
				setClass(cell, "zero", !(column.value(this) > 0));
			if (column.bad)
				setClass(cell, "bad", column.value(this) > 0);
			if (plot)
				drawPlot(plot, [this[column.plot]], now, CLIENT_WINDOW_MS, this[column.plot].peak * 1.1 || 1);
		});
	}
}

const clientKey = report => `${report.stream} ${report.peer} ${report.endpoint}`;

function takeClients(reports, now, time, isOlder) {
	const shown = [];

	for (const report of reports) {
		const key = clientKey(report);
		const row = known.clients.get(key) || new ClientRow();
		if (!isOlder || !row.report)
			row.take(report, now, time);
		known.clients.delete(key); // the one seen last is the last
		known.clients.set(key, row);
		shown.push(row);
	}
	for (const [key, row] of known.clients) {
		if (shown.includes(row) || now - row.seen < CLIENT_KEPT_MS && known.clients.size <= MOST_CLIENTS)
			break;
		known.clients.delete(key);
	}
	known.shown = shown;
}

function compareRows(a, b) {
	const column = columnOf(choice.sort);
	const difference = column.value ? column.value(a) - column.value(b) :
		column.text(a).localeCompare(column.text(b), "en", {numeric: true});
	return choice.ascending ? difference : -difference;
}

function noteOfClients(status) {
	const all = status.streams.reduce((sum, stream) => sum + stream.clients, 0);
	const column = columnOf(choice.sort);

	if (!status.clients)
		return "";
	if (status.clients.length < status.matching)
		return `${count(status.clients.length)} of ${count(status.matching)}, ${column.sort ?
			`the first by ${column.name.toLowerCase()}` : "the furthest behind; only these are sorted"}`;
	return status.matching < all ? `${count(status.matching)} of ${count(all)}` : "";
}

function drawClients(now) {
	const rows = [...known.shown].sort(compareRows);
	const body = byId("rows");

	rows.forEach((row, i) => {
		row.draw(now);
		if (body.children[i] !== row.element)
			body.insertBefore(row.element, body.children[i] || null);
	});
	while (body.children.length > rows.length)
		body.lastChild.remove();
	setText(byId("clients-note"), noteOfClients(known.status));
	byId("choice").hidden = !known.status.clients;
	byId("table").hidden = !rows.length;
	byId("empty").hidden = rows.length > 0;
	setText(byId("empty"), known.status.clients ? byId("find").value || byId("stream").value ? "No client matches." : "No client is connected." :
		"The daemon does not show single clients here; metrics-per-client = yes in its configuration does.");
}

// ---- the whole page ----

function takeLoop(status, before, now) {
	tiles.loop.series.add(now, quantile(status.loop.turns, before && before.loop.turns, 0.99));
}

function takeStreams(status, now, time) {
	for (const report of status.streams) {
		if (!known.streams.has(report.name)) {
			const card = new StreamCard(report.name);
			known.streams.set(report.name, card);
			byId("streams").append(card.element);
		}
		known.streams.get(report.name).take(report, now, time);
	}
	for (const [name, card] of known.streams) {
		if (!status.streams.some(report => report.name === name))
			card.remove(now);
	}
}

function takeTiles(status, now) {
	const cards = status.streams.map(report => known.streams.get(report.name));
	const sum = name => cards.reduce((total, card) => total + (name === "clients" ? card.report.clients : card.now[name] || 0), 0);

	for (const name of summed)
		tiles[name].series.add(now, sum(name));
	tiles.lag.series.add(now, cards.reduce((most, card) => Math.max(most, card.report.most_lag_seconds), 0));
}

function allCharts() {
	return [...known.streams.values()].flatMap(card => Object.values(card.charts));
}

function interruptAll(now) {
	allCharts().forEach(chart => chart.interrupt(now));
	Object.values(tiles).forEach(tile => tile.series.interrupt(now));
}

function take(status, now) {
	let before = known.status;

	if (before && (before.pid !== status.pid || before.started !== status.started)) {
		known.restarts++;
		known.restartedAt = new Date(1000 * status.started);
		interruptAll(now);
		allCharts().forEach(chart => chart.mark(now));
		before = null;
		for (const card of known.streams.values())
			card.before = null;
	}
	const time = before ? status.monotonic - before.monotonic : 0;
	// A document of another choice may have been made earlier. Only its clients are new.
	if (time < 0) {
		takeClients(status.clients || [], now, 0, true);
		known.status = {...before, clients: status.clients, matching: status.matching};
		return;
	}
	takeStreams(status, now, time);
	takeClients(status.clients || [], now, time, false);
	takeTiles(status, now);
	takeLoop(status, before, now);
	known.status = status;
}

function drawStreamChoice() {
	const select = byId("stream");
	const names = [...known.streams.keys()];

	if (select.options.length === names.length + 1)
		return;
	const value = select.value;
	select.replaceChildren(make("option", {value: ""}, "all"), ...names.map(name => make("option", {value: name}, name)));
	select.value = value;
}

function drawState() {
	const badge = byId("state");

	setText(badge, known.failures ? "no answer" : known.paused ? "paused" : known.status ? "live" : "connecting");
	badge.className = `badge ${known.failures ? "bad" : known.paused ? "warn" : "good"}`;
	document.title = `${known.failures ? "(no answer) " : ""}${location.host} · dmacast`;
}

function drawFoot(status) {
	const restart = known.restarts ? ` · restarted at ${clock(known.restartedAt)}` : "";

	setText(byId("foot"), `dmacastd ${status.version}, process ${status.pid}, running for ${
		span(Math.max(0, Date.now() / 1000 - status.started))}${restart} · longest turn of its event loop ${
		seconds(status.loop.longest)} · nothing can be changed here`);
}

function draw(forced) {
	const now = performance.now();

	drawState();
	if (!known.status || known.paused && !forced)
		return;
	Object.values(tiles).forEach(tile => tile.draw(now));
	known.streams.forEach(card => card.draw(now));
	drawStreamChoice();
	drawClients(now);
	drawFoot(known.status);
}

// ---- notices ----

function notice(text, retry) {
	byId("notice").hidden = !text;
	setText(byId("notice-text"), text);
	byId("retry").hidden = !retry;
}

let noticeTimer = 0;

function say(text) {
	clearTimeout(noticeTimer);
	notice(text, false);
	noticeTimer = setTimeout(() => known.failures || notice("", false), 20000);
}

// ---- asking ----

let timer = 0, request = null;

function path() {
	const query = new URLSearchParams({limit: byId("limit").value, sort: columnOf(choice.sort).sort || "lag"});

	// Without a key of the daemon the furthest behind are sorted.
	query.set("order", choice.ascending && columnOf(choice.sort).sort ? "ascending" : "descending");
	if (byId("stream").value)
		query.set("stream", byId("stream").value);
	if (byId("find").value.trim())
		query.set("find", byId("find").value.trim());
	return `status.json?${query}`;
}

function askIn(milliseconds) {
	clearTimeout(timer);
	timer = setTimeout(ask, milliseconds);
}

function failed(reason) {
	if (!known.failures)
		known.lostAt = new Date();
	known.failures++;
	interruptAll(performance.now());
	const delay = Math.min(LONGEST_RETRY_MS, 1000 * 2 ** (known.failures - 1));
	notice(`No answer from dmacastd since ${clock(known.lostAt)} (${reason}). The plots are kept; next attempt in ${delay / 1000} s.`, true);
	drawState();
	return delay;
}

function busy() {
	say("dmacastd is busy with what other viewers chose; asking again in 5 s.");
	return BUSY_MS;
}

function answered(restarts) {
	const since = known.lostAt;

	known.failures = 0;
	if (known.restarts > restarts)
		say(`dmacastd was restarted at ${clock(known.restartedAt)}. Its counters began again.`);
	else if (since)
		say(`dmacastd answers again; it did not since ${clock(since)}.`);
	known.lostAt = null;
}

// The daemon has no time for one more choice; it is well otherwise.
class BusyError extends Error {}

async function fetchStatus(url, signal) {
	const answer = await fetch(url, {cache: "no-store", credentials: "omit", signal,
		headers: known.tag ? {"If-None-Match": known.tag} : {}});

	if (answer.status === 304)
		return null;
	if (answer.status === 503)
		throw new BusyError();
	if (!answer.ok)
		throw new Error(`HTTP ${answer.status}`);
	const status = await answer.json();
	known.tag = answer.headers.get("ETag") || "";
	return status;
}

async function ask() {
	const controller = new AbortController();
	const limit = setTimeout(() => controller.abort(), ANSWER_MS);
	const restarts = known.restarts;
	let delay;

	if (request)
		request.abort();
	request = controller;
	try {
		const status = await fetchStatus(path(), controller.signal);
		if (request !== controller)
			return;
		if (status)
			take(status, performance.now());
		if (known.failures || known.restarts > restarts)
			answered(restarts);
		delay = Math.max(LEAST_MS, 1000 * known.status.interval);
	} catch (error) {
		if (request !== controller)
			return;
		delay = error instanceof BusyError ? busy() : failed(error.name === "AbortError" ? "it took too long" : error.name === "TypeError" ? "no connection" : error.message);
	} finally {
		clearTimeout(limit);
	}
	request = null;
	if (!document.hidden)
		draw(false);
	askIn(document.hidden ? Math.max(delay, HIDDEN_MS) : delay);
}

// Another choice: what is shown follows at once, the rest when the answer comes.
let choiceTimer = 0;

function chosen(wait) {
	known.tag = "";
	clearTimeout(choiceTimer);
	choiceTimer = setTimeout(async () => {
		await ask();
		draw(true);
	}, wait);
}

// ---- controls ----

function setSort(key) {
	const column = columnOf(key);

	if (choice.sort === key)
		choice.ascending = !choice.ascending;
	else
		Object.assign(choice, {sort: key, ascending: !column.value});
	drawHead();
	draw(true);
	chosen(0);
}

function drawHead() {
	for (const cell of byId("head").children) {
		if (cell.dataset.key === choice.sort)
			cell.setAttribute("aria-sort", choice.ascending ? "ascending" : "descending");
		else
			cell.removeAttribute("aria-sort");
	}
	byId("sort").value = choice.sort;
	setText(byId("direction"), choice.ascending ? "↑" : "↓");
	setAttribute(byId("direction"), "aria-label", choice.ascending ? "Sorted upwards; sort downwards" : "Sorted downwards; sort upwards");
}

function makeHead() {
	for (const column of columns) {
		const button = make("button", {type: "button"}, column.name);
		button.addEventListener("click", () => setSort(column.key));
		byId("head").append(make(column.style ? "th" : "th.number", {scope: "col", "data-key": column.key}, button));
		byId("sort").append(make("option", {value: column.key}, column.name));
	}
	drawHead();
}

function stored(value) {
	try {
		if (value !== undefined)
			localStorage.setItem("theme", value);
		return localStorage.getItem("theme");
	} catch {
		return value;
	}
}

function setTheme(theme) {
	if (theme === "auto")
		document.documentElement.removeAttribute("data-theme");
	else
		document.documentElement.dataset.theme = theme;
	byId("theme").dataset.value = theme;
	setText(byId("theme"), `Theme: ${theme}`);
}

function start() {
	const themes = ["auto", "dark", "light"];

	byId("live").hidden = false;
	setText(byId("host"), location.host);
	byId("tiles").append(...Object.values(tiles).map(tile => tile.element));
	makeHead();
	setTheme(themes.includes(stored()) ? stored() : "auto");
	byId("theme").addEventListener("click", () => {
		const next = themes[(themes.indexOf(byId("theme").dataset.value) + 1) % themes.length];
		stored(next);
		setTheme(next);
	});
	byId("pause").addEventListener("click", () => {
		known.paused = !known.paused;
		setAttribute(byId("pause"), "aria-pressed", String(known.paused));
		setText(byId("pause"), known.paused ? "Continue" : "Pause");
		draw(false);
	});
	byId("choice").addEventListener("submit", event => event.preventDefault());
	byId("find").addEventListener("input", () => chosen(300));
	byId("stream").addEventListener("change", () => chosen(0));
	byId("limit").addEventListener("change", () => chosen(0));
	byId("sort").addEventListener("change", event => setSort(event.target.value));
	byId("direction").addEventListener("click", () => setSort(choice.sort));
	byId("retry").addEventListener("click", ask);
	document.addEventListener("visibilitychange", () => document.hidden || ask());
	drawState();
	ask();
}

start();
})();
