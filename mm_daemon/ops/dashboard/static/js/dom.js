"use strict";
// The little that is needed to build and update a page. Text only ever becomes text: nothing here parses markup.

export const byId = (id) => document.getElementById(id);

/** Make an element with attributes and children, which are nodes or text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Set a node's text, if it differs, so that nothing is laid out or read aloud for no reason. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set a node's content to [text, class] parts. */
export function setParts(node, parts) {
  while (node.childElementCount > parts.length) node.lastElementChild.remove();
  while (node.childElementCount < parts.length) node.append(element("span"));
  parts.forEach(([text, kind], index) => {
    setText(node.children[index], text);
    node.children[index].className = kind || "";
  });
}

/** Set or, with null, remove an attribute, if it differs. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** The headings of a table: [text, class] pairs. */
export function setHeadings(table, headings) {
  const row = table.tHead.rows[0];
  row.replaceChildren(...headings.map(([text, kind]) => element("th", { scope: "col", class: kind || null }, text)));
}

/**
 * Make a table body show these rows, using the rows that are there again.
 *
 * A row is { key?, tone?, cells: [[text, class], ...] }.
 */
export function setRows(body, rows, count) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, index) => {
    let line = body.rows[index];
    if (!line) {
      line = body.insertRow();
      for (let number = 0; number < count; number++) line.insertCell();
    }
    setAttribute(line, "data-tone", row.tone || null);
    row.cells.forEach(([text, kind], number) => {
      const cell = line.cells[number];
      setText(cell, text);
      if (cell.className !== (kind || "")) cell.className = kind || "";
    });
  });
}

/** A bar that shows a part of a limit, with its value for those who do not see it. */
export function meter(label) {
  const fill = element("span", { class: "meter-fill" });
  const node = element("span", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  return {
    node,
    set(part, whole, text) {
      const share = whole > 0 ? Math.min(Math.max(part / whole, 0), 1) : 0;
      fill.style.transform = `scaleX(${share.toFixed(4)})`;
      setAttribute(node, "data-tone", share >= 0.95 ? "bad" : share >= 0.8 ? "warn" : null);
      setAttribute(node, "aria-valuenow", String(Math.round(share * 100)));
      setAttribute(node, "aria-valuetext", text);
    },
  };
}
