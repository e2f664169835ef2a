"use strict";
// The charts: uPlot with the page's own colours, redrawn when those or the width change.

import { byId, setParts } from "./dom.js";
import * as format from "./format.js";

const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FONT = '11px "Inter", -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const MINUTES = [60, 120, 300, 900];
const stepped = () => uPlot.paths.stepped({ align: 1 });

const hourMinute = (secs) => format.clock(secs * 1000).slice(0, 5);

const axis = (more) => ({
  font: FONT,
  stroke: colour("--muted"),
  grid: { stroke: colour("--grid"), width: 1 },
  ticks: { show: false },
  ...more,
});
const timeAxis = () => axis({ incrs: MINUTES, space: 60, size: 26, grid: { show: false }, values: (_, splits) => splits.map(hourMinute) });

/** A range with some air around it, and never so small that a tick looks like a crash. */
const airy = (least) => (_, low, high) => {
  if (low === null || low === undefined) return [0, 1];
  const air = Math.max((high - low) * 0.12, least / 2);
  return [low - air, high + air];
};

/** The same, with zero always in sight. */
const aroundZero = (least) => (_, low, high) => {
  const [bottom, top] = [Math.min(low ?? 0, 0), Math.max(high ?? 0, 0)];
  const air = Math.max((top - bottom) * 0.12, least / 2);
  return [bottom < 0 ? bottom - air : -air / 2, top > 0 ? top + air : air / 2];
};

export class Chart {
  #plot;
  #place;

  /** `read` says in words what stands at an index of the data. */
  constructor(place, reading, options, read) {
    this.#place = byId(place);
    const tell = (plot) => {
      const index = plot.cursor.idx ?? plot.data[0].length - 1;
      setParts(byId(reading), index < 0 ? [] : [[format.clock(plot.data[0][index] * 1000)], ...read(plot.data, index)]);
    };
    this.#plot = new uPlot(
      {
        width: Math.max(this.#place.clientWidth, 100),
        height: this.#place.clientHeight,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false }, sync: { key: options.sync } },
        padding: [8, 20, 0, 0],
        hooks: { setCursor: [tell], setData: [tell], draw: options.draw ? [options.draw] : [] },
        ...options.plot,
      },
      options.plot.series.map(() => []),
      this.#place,
    );
    new ResizeObserver(() => this.#fit()).observe(this.#place);
    document.addEventListener("theme", () => this.redraw());
  }

  #fit() {
    const width = this.#place.clientWidth;
    const height = this.#place.clientHeight;
    if (width > 0 && (width !== this.#plot.width || height !== this.#plot.height)) this.#plot.setSize({ width, height });
  }

  show(data) {
    this.#plot.setData(data);
  }

  redraw() {
    this.#plot.redraw(false, false);
  }
}

/** Our fills as triangles at their price, bids up and asks down; hollow where the fill failed. */
function drawFills(plot, fills) {
  const { ctx, bbox } = plot;
  const size = 4.5 * devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const [time, direction, , price, , , state] of fills) {
    const x = plot.valToPos(time / 1000, "x", true);
    const y = plot.valToPos(price / 10000, "y", true);
    const way = direction === "bid" ? 1 : -1;
    ctx.fillStyle = ctx.strokeStyle = colour(`--${direction}`)();
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x - size, y + way * 1.7 * size);
    ctx.lineTo(x + size, y + way * 1.7 * size);
    ctx.closePath();
    if (state === "failed") ctx.stroke();
    else ctx.fill();
  }
  ctx.restore();
}

/** The mid, our quotes and our fills of a market. `tick` and `fills` are functions, for both change. */
export const priceChart = (tick, fills) =>
  new Chart(
    "price-chart",
    "price-reading",
    {
      sync: "market",
      draw: (plot) => drawFills(plot, fills()),
      plot: {
        scales: { y: { range: airy(0.02) } },
        axes: [timeAxis(), axis({ size: 58, space: 34, values: (_, splits) => splits.map((value) => value.toFixed(3)) })],
        series: [
          {},
          { stroke: colour("--ask"), width: 1.5, paths: stepped(), points: { show: false } },
          { stroke: colour("--text"), width: 1.25, points: { show: false } },
          { stroke: colour("--bid"), width: 1.5, paths: stepped(), points: { show: false } },
        ],
      },
    },
    (data, index) => {
      const inDollars = (value, scale, write) => (value === null || value === undefined ? format.NONE : write(Math.round(value * scale), tick()));
      return [
        [`bid ${inDollars(data[3][index], 10000, format.price)}`, "bid"],
        [`mid ${inDollars(data[2][index], 20000, format.mid)}`, "mid"],
        [`ask ${inDollars(data[1][index], 10000, format.price)}`, "ask"],
      ];
    },
  );

export const netChart = () =>
  new Chart(
    "net-chart",
    "net-reading",
    {
      sync: "market",
      plot: {
        scales: { y: { range: aroundZero(10) } },
        axes: [timeAxis(), axis({ size: 58, space: 20, values: (_, splits) => splits.map((value) => (value > 0 ? "+" : "") + format.shares(value * 1e6)) })],
        series: [{}, { stroke: colour("--own"), fill: colour("--own-wash"), width: 1.5, paths: stepped(), points: { show: false } }],
      },
    },
    (data, index) => [[`${format.position(Math.round(data[1][index] * 1e6))} YES`, "own"]],
  );

export const dayChart = () =>
  new Chart(
    "day-chart",
    "day-reading",
    {
      sync: "day",
      plot: {
        scales: { y: { range: aroundZero(1) }, risk: { range: aroundZero(10) } },
        axes: [
          timeAxis(),
          axis({ size: 52, space: 30, values: (_, splits) => splits.map((value) => format.result(value * 1e6).replace(".00", "")) }),
          axis({ scale: "risk", side: 1, size: 56, space: 30, grid: { show: false }, values: (_, splits) => splits.map((value) => (value < 0 ? "" : `$${format.count(value)}`)) }),
        ],
        series: [
          {},
          { stroke: colour("--own"), fill: colour("--own-wash"), width: 1.5, points: { show: false } },
          { scale: "risk", stroke: colour("--muted"), width: 1.25, dash: [4, 3], points: { show: false } },
        ],
      },
    },
    (data, index) => [
      [`P&L ${format.result(Math.round(data[1][index] * 1e6))}`, "own"],
      [`┄ at risk ${format.dollars(Math.round(data[2][index] * 1e6))}`],
    ],
  );

const seconds = (times) => times.map((time) => time / 1000);
const present = (values, scale) => values.map((value) => (value ? value / scale : null));

/** A market's lines as the two charts draw them. */
export const priceData = (lines) => [
  seconds(lines.times), present(lines.asks, 10000), present(lines.mids, 20000), present(lines.bids, 10000),
];
export const netData = (lines) => [seconds(lines.times), lines.nets.map((net) => net / 1e6)];
export const dayData = (totals) => [
  seconds(totals.times), totals.pnl.map((value) => value / 1e6), totals.exposure.map((value) => value / 1e6),
];
