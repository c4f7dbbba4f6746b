// What tools such as axe look for: names, landmarks, headings, contrast, order, width. Gives what is wrong, in words.
const wrong = [];
const say = (what, element) => wrong.push(`${what}: ${element ? element.outerHTML.slice(0, 160) : ""}`);
const shown = (element) => {
  const style = getComputedStyle(element);
  return element.getClientRects().length > 0 && style.visibility === "visible";
};
const named = (element) => {
  const labelledby = element.getAttribute("aria-labelledby");
  if (labelledby) return labelledby.split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
  if (element.getAttribute("aria-label")) return element.getAttribute("aria-label").trim();
  if (element.labels?.length) return [...element.labels].map((label) => label.textContent).join(" ").trim();
  return element.matches("input, select, textarea") ? "" : element.textContent.trim();
};

// Every control has a name.
for (const control of document.querySelectorAll("a[href], button, summary, input:not([type=hidden]), select, textarea")) {
  if (!named(control)) say("no name", control);
}
for (const place of document.querySelectorAll("nav, section, [role=search]")) {
  if (place.matches("nav, section") && !named(place)) say("a region without a name", place);
}
for (const image of document.querySelectorAll("img:not([alt])")) say("no alternative", image);
for (const svg of document.querySelectorAll("svg")) {
  if (svg.getAttribute("aria-hidden") !== "true" && !svg.getAttribute("aria-label") && shown(svg)) say("a picture without words", svg);
}
for (const element of document.querySelectorAll("[aria-describedby], [aria-labelledby], label[for]")) {
  const ids = [element.getAttribute("aria-describedby"), element.getAttribute("aria-labelledby"), element.getAttribute("for")];
  for (const id of ids.filter(Boolean).flatMap((ids) => ids.split(/\s+/))) {
    if (!document.getElementById(id)) say(`nothing has the ID ${id}`, element);
  }
}
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of ids.filter((id, place) => ids.indexOf(id) !== place)) say(`two have the ID ${id}`);
for (const table of document.querySelectorAll("table")) {
  if (!table.caption) say("a table without a caption", table);
  if (table.querySelector("th:not([scope])")) say("a heading of a table without a scope", table);
}

// Landmarks and headings.
if (document.documentElement.lang !== "en") say("no language");
if (!document.title.endsWith(" · Muster")) say(`the title is ${document.title}`);
for (const one of ["body > header", "body > main", "body > footer", "h1"]) {
  if (document.querySelectorAll(one).length !== 1) say(`not one ${one}`);
}
let level = 0;
for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
  if (!shown(heading)) continue;
  const here = Number(heading.tagName[1]);
  if (here > level + 1) say(`a heading of level ${here} after ${level}`, heading);
  level = here;
}

// Contrast, as WCAG 2.2 counts it: 4.5, or 3 for what is large.
const parse = (color) => {
  const srgb = color.match(/^color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)(?: \/ ([\d.e-]+))?\)$/);
  if (srgb) return [...srgb.slice(1, 4).map((part) => Number(part) * 255), srgb[4] === undefined ? 1 : Number(srgb[4])];
  const rgb = color.match(/^rgba?\((.*)\)$/);
  const parts = rgb[1].split(/[ ,/]+/).map(Number);
  return [parts[0], parts[1], parts[2], parts[3] ?? 1];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const light = ([r, g, b]) => {
  const [R, G, B] = [r, g, b].map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * R + 0.7152 * G + 0.0722 * B;
};
const ground = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
};
const contrast = (one, other) => {
  const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let texts = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !shown(element) || element.closest(".unseen, .skip, svg, script")) continue;
  texts += 1;
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
  const below = ground(element);
  const ratio = contrast(over(parse(style.color), below), below);
  if (ratio < least) say(`contrast ${ratio.toFixed(2)}, ${least} wanted`, element);
}
if (texts < 5) say("hardly any text was looked at");
for (const field of document.querySelectorAll("input:not([type=hidden]):not([type=checkbox]), select")) {
  if (!shown(field)) continue;
  const ratio = contrast(parse(getComputedStyle(field).borderTopColor), ground(field.parentElement));
  if (ratio < 3) say(`a field's border has contrast ${ratio.toFixed(2)}, 3 wanted`, field);
}

// Nothing sticks out.
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) say(`the page is ${root.scrollWidth} wide, the window ${root.clientWidth}`);
return wrong;
