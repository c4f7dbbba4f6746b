// Keeps a list up to date: asks for the page again every few seconds, while it is looked at, and takes over the list.
(() => {
  "use strict";
  const again = () => {
    const here = document.getElementById("fresh");
    const seconds = Number(here?.dataset.refresh);
    if (seconds > 0) setTimeout(refresh, seconds * 1000);
  };
  const refresh = async () => {
    const here = document.getElementById("fresh");
    // What somebody is about to press or to read with a pointer stays where it is.
    if (!document.hidden && !here.contains(document.activeElement)) {
      try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const fresh = page.getElementById("fresh");
          if (fresh && fresh.innerHTML !== here.innerHTML) here.replaceWith(document.adoptNode(fresh));
        }
      } catch { /* The coordinator is away: what was last stays, and it is asked again. */ }
    }
    again();
  };
  again();
})();
