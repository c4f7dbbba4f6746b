// A run's page while it goes on: takes over the parts that the coordinator sends anew.
(() => {
  "use strict";
  const AWAY = "The coordinator does not answer: this page shows what was last, and goes on by itself.";
  const run = document.getElementById("run");
  const away = document.getElementById("away");
  const spoken = document.getElementById("spoken");
  const section = document.getElementById("plots");
  const plots = window.musterPlots(section, section.dataset.history);
  let source = null, told = 0, looking = false, next = 0, age = Number(run.dataset.seconds);

  // What it costs to look grows with the run: however long that takes, it is a small part of the time.
  const look = async (seconds) => {
    if (looking || Date.now() < next) return;
    looking = true;
    const began = Date.now();
    await plots.look(seconds);
    next = Date.now() + Math.max(2000, 50 * (Date.now() - began));
    looking = false;
  };
  look(age);
  if (!run.dataset.live) return;

  const say = (words) => {
    if (away.textContent !== words) away.textContent = words;
    away.hidden = words === "";
  };
  // What has the focus is not taken away: it waits until the focus has gone.
  const waiting = new Map();
  const put = (name, text) => {
    const place = document.getElementById(`part-${name}`);
    if (!place) return;
    if (place.contains(document.activeElement)) {
      waiting.set(name, text);
    } else {
      waiting.delete(name);
      place.innerHTML = text;
    }
  };
  document.addEventListener("focusout", () => {
    // The next has the focus only when this is over.
    setTimeout(() => [...waiting].forEach(([name, text]) => put(name, text)));
  });
  const sample = (event) => {
    const { seconds, percent } = JSON.parse(event.data);
    const now = Date.now();
    // Whoever listens is told now and then, not each second.
    if (percent !== null && now - told > 15000) {
      told = now;
      spoken.textContent = `${percent} percent done`;
    }
    age = seconds;
    look(age);
  };
  const turned = (event) => {
    const over = event.data === "over";
    spoken.textContent = over ? "The run is over." : "The run's state has changed.";
    if (!over) return;
    next = 0;
    look(age);
  };
  const end = () => {
    close();
    delete run.dataset.live;
  };
  // The coordinator refuses, or is gone for longer: the page is loaded anew once there is one to be had, or something final
  // to be said.
  const again = async () => {
    try {
      const { ok, status } = await fetch(location.href, { headers: { accept: "text/html" } });
      if (ok || [401, 403, 404].includes(status)) return location.reload();
    } catch { /* It is still away. */ }
    setTimeout(again, 5000);
  };
  const open = () => {
    if (source) return;
    source = new EventSource(run.dataset.live);
    for (const name of ["controls", "state", "progress", "verdict", "failures", "in-doubt", "notices", "workers"]) {
      source.addEventListener(name, (event) => {
        say("");
        put(name, event.data);
      });
    }
    source.addEventListener("sample", sample);
    source.addEventListener("turned", turned);
    source.addEventListener("end", end);
    source.addEventListener("trouble", (event) => say(event.data));
    source.addEventListener("open", () => say(""));
    source.addEventListener("error", () => {
      say(AWAY);
      if (source?.readyState === EventSource.CLOSED) setTimeout(again, 5000);
    });
  };
  const close = () => {
    source?.close();
    source = null;
  };

  // A browser has six connections for all its pages here: those that nobody looks at have none.
  const turn = () => (document.hidden || !run.dataset.live ? close() : open());
  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", close);
  addEventListener("pageshow", turn);
  turn();
})();
