"use strict";
// Integers become text here and nowhere else: prices of 1/10,000 dollar, sizes of micro-shares, money of micro-dollars.

export const NONE = "–";
const MINUS = "\u2212";
const grouped = (decimals) =>
  new Intl.NumberFormat("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
const [WHOLE, TENTHS, CENTS] = [0, 1, 2].map(grouped);
const PARTS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });

const signed = (text, value) => (value < 0 ? MINUS : value > 0 ? "+" : "") + text;

/** Decimals that a price on this grid needs. */
export const priceDecimals = (tick) => (tick % 100 === 0 ? 2 : tick % 10 === 0 ? 3 : 4);

/** A price in dollars: 5200 on a grid of 100 is "0.52". */
export const price = (value, tick) => (value === null ? NONE : (value / 10000).toFixed(priceDecimals(tick)));

/** A mid, given twice, with half a tick's decimal. */
export const mid = (twice, tick) => (twice === null ? NONE : (twice / 20000).toFixed(Math.min(priceDecimals(tick) + 1, 5)));

/** Shares, two decimals at most. */
export const shares = (value) => (value < 0 ? MINUS : "") + PARTS.format(Math.abs(value) / 1e6);

/** Shares in a narrow column. */
export function sharesShort(value) {
  const size = Math.abs(value) / 1e6;
  const text =
    size >= 1e6 ? `${TENTHS.format(size / 1e6)}m` : size >= 1e5 ? `${WHOLE.format(size / 1e3)}k`
      : size >= 1e3 ? WHOLE.format(size) : size >= 100 ? TENTHS.format(size) : PARTS.format(size);
  return (value < 0 ? MINUS : "") + text;
}

/** Shares with their sign: a position. */
export const position = (value) => (value === 0 ? "0" : (value > 0 ? "+" : "") + sharesShort(value));

/** Dollars and cents. */
export const dollars = (value) => (value === null ? NONE : `${value < 0 ? MINUS : ""}$${CENTS.format(Math.abs(value) / 1e6)}`);

/** Dollars with a sign, as a result is written. */
export function result(value) {
  if (value === null || value === undefined) return NONE;
  const cents = Math.round(value / 1e4);
  return signed(CENTS.format(Math.abs(cents) / 100), cents);
}

/** A result of a fill, which may be a part of a cent. */
export function smallResult(value) {
  if (value === null || value === undefined) return NONE;
  return signed((Math.abs(value) / 1e6).toFixed(Math.abs(value) >= 1e8 ? 2 : 3), value);
}

export const count = (value) => WHOLE.format(value);

/** gain, loss or nothing, as a class. */
export const tone = (value) => (value > 0 ? "gain" : value < 0 ? "loss" : "");

/** A duration given in nanoseconds, three figures. */
export function nanoseconds(value) {
  if (value === null) return NONE;
  const millis = value / 1e6;
  if (millis < 1) return `${Math.round(value / 1e3)} µs`;
  return millis < 1000 ? `${millis.toPrecision(3)} ms` : `${(millis / 1000).toPrecision(3)} s`;
}

/** How long ago, in its largest units. */
export function age(secs) {
  if (secs === null || secs === undefined) return NONE;
  if (secs < 10) return `${Math.max(secs, 0).toFixed(1)} s`;
  if (secs < 100) return `${Math.round(secs)} s`;
  if (secs < 6000) return `${Math.floor(secs / 60)} min ${String(Math.floor(secs % 60)).padStart(2, "0")}`;
  const hours = Math.floor(secs / 3600);
  if (hours < 100) return `${hours} h ${String(Math.floor((secs % 3600) / 60)).padStart(2, "0")}`;
  return `${Math.floor(hours / 24)} d`;
}

const two = (value) => String(value).padStart(2, "0");

/** Time of day on this machine's clock. */
export function clock(ms) {
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? "" : `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** A UTC date, or with its time where it is near. */
export const date = (secs) => (secs ? new Date(secs * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC" : NONE);

/** An address with its middle left out. */
export const shortAddress = (text) => (text.length > 14 ? `${text.slice(0, 6)}…${text.slice(-4)}` : text);

/** Hashes and ids with their middles left out. */
export const shortHashes = (text) => text.replace(/\b(0x[0-9a-f]{6})[0-9a-f]{8,}([0-9a-f]{4})\b/gi, "$1…$2").replace(/\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f-]{22}\b/gi, "$1…");

/** A name of the daemon's in words: order_to_ack is "order to ack". */
export const words = (name) => name.replaceAll("_", " ");
