// A run's page while it goes on: takes over the parts that the coordinator sends anew.
(() => {
  "use strict";
  const run = document.getElementById("run");
  const away = document.getElementById("away");
  const spoken = document.getElementById("spoken");
  const section = document.getElementById("plots");
  const plots = window.musterPlots(section, section.dataset.history);
  let source = null, told = 0, looked = Date.now();
  plots.look(Number(run.dataset.seconds));

  const put = (name) => (event) => {
    const place = document.getElementById(`part-${name}`);
    // What has the focus is not taken away; the next news brings it.
    if (place && !place.contains(document.activeElement)) place.innerHTML = event.data;
  };
  const sample = (event) => {
    away.hidden = true;
    const { seconds, percent } = JSON.parse(event.data);
    const now = Date.now();
    // Whoever listens is told now and then, not each second.
    if (percent !== null && now - told > 15000) {
      told = now;
      spoken.textContent = `${percent} percent done`;
    }
    // What it costs to look grows with the run, so a long one is looked at less often.
    if (now - looked > Math.max(2000, seconds * 10)) {
      looked = now;
      plots.look(seconds);
    }
  };
  const turned = (event) => {
    close();
    spoken.textContent = event.data === "over" ? "The run is over." : "The run's state has changed.";
    // The buttons are for another state now.
    location.reload();
  };
  const open = () => {
    if (source) return;
    source = new EventSource(run.dataset.live);
    for (const name of ["state", "progress", "verdict", "failures", "in-doubt", "workers"]) {
      source.addEventListener(name, put(name));
    }
    source.addEventListener("sample", sample);
    source.addEventListener("turned", turned);
    source.addEventListener("open", () => { away.hidden = true; });
    source.addEventListener("error", () => {
      away.hidden = false;
      // The coordinator refuses, or is gone for longer: ask for the whole page once it answers again.
      if (source?.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
    });
  };
  const close = () => {
    source?.close();
    source = null;
  };

  if (!run.dataset.live) return;
  // A browser has six connections for all its pages here: those that nobody looks at have none.
  const turn = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", close);
  addEventListener("pageshow", turn);
  turn();
})();
