// Keeps a list up to date: asks for the page again every few seconds, while it is looked at, and takes over the list.
(() => {
  "use strict";
  const again = () => {
    const here = document.getElementById("fresh");
    const seconds = Number(here?.dataset.refresh);
    if (seconds > 0) setTimeout(refresh, seconds * 1000);
  };
  // What is shown stays; that it is not of now is said, once, until it is again.
  const say = (trouble) => {
    const place = document.getElementById("stale");
    if (!place || place.textContent === trouble) return;
    place.textContent = trouble;
    place.className = trouble ? "notice attention" : "";
  };
  const trouble = (status) => {
    if (status === 401) return "You are no longer signed in: load the page again. This list stays as it was.";
    return `The coordinator answers ${status}: this list stays as it was, and is asked for again.`;
  };
  const refresh = async () => {
    const here = document.getElementById("fresh");
    // What somebody is about to press or to read with a pointer stays where it is.
    if (!document.hidden && !here.contains(document.activeElement)) {
      try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        say(answer.ok ? "" : trouble(answer.status));
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const fresh = page.getElementById("fresh");
          if (fresh && fresh.innerHTML !== here.innerHTML) here.replaceWith(document.adoptNode(fresh));
          else if (fresh) here.dataset.refresh = fresh.dataset.refresh;
        }
      } catch {
        say("The coordinator does not answer: this list stays as it was, and is asked for again.");
      }
    }
    again();
  };
  again();
})();
