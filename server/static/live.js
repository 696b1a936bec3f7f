// Keeps an open page true: listens to the one stream, fetches the page's content anew, and says when it is cut off.
(() => {
  "use strict";
  const CUT_OFF = 10000; // milliseconds without a sign of life
  const main = document.getElementById("main");
  const stream = document.getElementById("live");
  if (!stream) return;
  const bar = document.getElementById("cut-off");
  let heard = Date.now();
  let schoolTime = main.querySelector("[data-clock]")?.dataset.clock ?? "";
  let waiting = false; // a refresh is due, but something of the list is under a finger
  let cut = false;

  const held = () => main.querySelector("[data-hold][hx-morph-skip]");
  const refresh = () => { waiting = Boolean(held()); htmx.trigger(main, "refresh"); };

  function hold(list) { list.setAttribute("hx-morph-skip", ""); }
  function release(list) {
    list.removeAttribute("hx-morph-skip");
    if (waiting && !held()) refresh();
  }

  // A list does not move while it is touched or pointed at; it catches up afterwards.
  main.addEventListener("pointerover", (event) => {
    const list = event.target.closest("[data-hold]");
    if (list && event.pointerType === "mouse") hold(list);
  });
  main.addEventListener("pointerout", (event) => {
    const list = event.target.closest("[data-hold]");
    if (list && event.pointerType === "mouse" && !list.contains(event.relatedTarget)) release(list);
  });
  main.addEventListener("touchstart", (event) => {
    const list = event.target.closest("[data-hold]");
    if (list) hold(list);
  }, { passive: true });
  for (const name of ["touchend", "touchcancel"]) {
    document.addEventListener(name, () => {
      main.querySelectorAll("[data-hold][hx-morph-skip]").forEach((list) => setTimeout(release, 1500, list));
    }, { passive: true });
  }

  function alive(event) {
    heard = Date.now();
    schoolTime = event.detail.data;
    if (cut) { cut = false; bar.hidden = true; refresh(); }
    show();
  }
  stream.addEventListener("beat", alive);
  stream.addEventListener("changed", (event) => { alive(event); refresh(); });
  // The login has ended: the server sends the whole page there.
  document.addEventListener("htmx:sse:error", (event) => { if (event.detail.status === 401) location.reload(); });

  function show() {
    const badge = main.querySelector("[data-badge]");
    const age = Date.now() - heard;
    if (age > CUT_OFF && !cut) {
      cut = true;
      const words = bar.querySelector("[data-stopped]");
      words.textContent = words.dataset.words.replace("{time}", schoolTime);
      bar.hidden = false;
    }
    if (!badge) return;
    badge.hidden = cut;
    const seconds = Math.round(age / 1000);
    const text = seconds < 1 ? badge.dataset.now : badge.dataset.ago.replace("{n}", seconds);
    const words = badge.querySelector("[data-badge-words]");
    if (words.textContent !== text) words.textContent = text;
  }

  // hx-sse reconnects a stream that once stood; one that never did is tried again here.
  const retry = () => { if (!stream._htmx || !stream._htmx.sse) htmx.trigger(stream, "retry"); };
  bar.querySelector("[data-retry]").addEventListener("click", () => {
    if (stream._htmx && stream._htmx.sse && stream._htmx.sse.delayCanceller) stream._htmx.sse.delayCanceller();
    retry();
  });
  // The newest message of a phone is at its foot; whoever scrolled up to read is left there.
  const foot = () => document.querySelector("[data-foot]");
  let atFoot = true;
  const toFoot = () => { if (atFoot && foot()) foot().scrollTop = foot().scrollHeight; };
  foot()?.addEventListener("scroll", () => { atFoot = foot().scrollHeight - foot().scrollTop - foot().clientHeight < 40; });
  toFoot();
  document.addEventListener("htmx:after:swap", toFoot);

  setInterval(show, 1000);
  setInterval(() => { if (cut) retry(); }, 15000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { heard = Date.now(); } });
  document.addEventListener("htmx:after:swap", show);
})();
