// Ticks on a phone: shown at once, kept in the phone until the server has them, sent again after any trouble or reload.
(() => {
  "use strict";
  const { roll, user, token } = document.body.dataset;
  const store = `gatebell-roll-${roll}-${user}`; // holds ids, never names
  const bar = document.getElementById("unsent");
  const said = document.getElementById("roll-said");
  const began = Date.now();
  let sending = false;
  let trouble = ""; // why sending stopped: "login"

  const read = () => { try { return JSON.parse(localStorage.getItem(store)) || []; } catch { return []; } };
  const write = (queue) => {
    if (queue.length) localStorage.setItem(store, JSON.stringify(queue));
    else localStorage.removeItem(store);
  };
  const id = () => {
    const b = crypto.getRandomValues(new Uint8Array(16));
    b[6] = (b[6] & 15) | 64; b[8] = (b[8] & 63) | 128;
    return [...b].map((n) => n.toString(16).padStart(2, "0")).join("");
  };

  function show() {
    const queue = read();
    for (const item of queue) {
      const row = document.getElementById(`e-${item.entry}`);
      if (!row) continue;
      row.classList.toggle("is-there", item.there);
      row.querySelector("[data-said]").textContent = said.dataset.unsent;
    }
    const words = trouble === "login" ? bar.dataset.login : queue.length === 1 ? bar.dataset.one : bar.dataset.many;
    const text = queue.length ? words.replace("{n}", queue.length) : trouble === "refused" ? bar.dataset.refused : "";
    if (bar.textContent !== text) bar.textContent = text;
    bar.hidden = !text;
  }

  // One at a time and in order; what is not answered stays and is sent again with the same id.
  async function send() {
    if (sending) return;
    sending = true;
    try {
      for (let item = read()[0]; item; item = read()[0]) {
        if (!(await taken(item))) break;
        write(read().filter((each) => each.key !== item.key));
        if (!read().length && trouble !== "refused") trouble = "";
        show();
      }
    } finally { sending = false; show(); }
  }

  async function taken(item) {
    const body = new URLSearchParams({ key: item.key, there: item.there ? "1" : "0", ago: Math.max(0, Date.now() - item.at) });
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), 8000);
    try {
      const answer = await fetch(`/rollcall/entries/${item.entry}`, {
        method: "POST", body, redirect: "manual", signal: stop.signal, headers: { "X-CSRFToken": token, "X-Queue": "phone" },
      });
      if (answer.ok) return true;
      if (answer.status === 400 || answer.status === 401) { trouble = "login"; return false; }
      if ([403, 404, 422].includes(answer.status)) { trouble = "refused"; return true; }
      return false;
    } catch { return false; } finally { clearTimeout(timer); }
  }

  document.addEventListener("submit", (event) => {
    const row = event.target.closest("[data-entry]");
    if (!row) return;
    const there = event.target.elements.there.value === "1";
    const item = { key: id(), entry: row.dataset.entry, there, at: Date.now() };
    try { write([...read(), item]); } catch { return; } // no room in the phone: the form goes its plain way
    event.preventDefault();
    if (trouble === "refused") trouble = "";
    row.classList.toggle("is-there", there);
    row.querySelector("[data-said]").textContent = said.dataset.now;
    said.textContent = (there ? said.dataset.there : said.dataset.back).replace("{name}", row.dataset.name);
    (there ? row.querySelector(".roll-undo") : row.querySelector(".roll-tick")).focus({ preventScroll: true });
    send();
  });

  function tell() {
    const passed = Math.floor((Date.now() - began) / 1000);
    const clock = document.querySelector(".roll-time:not([data-ended])");
    if (clock) {
      const s = Number(clock.dataset.seconds) + passed;
      const two = (n) => String(n).padStart(2, "0");
      clock.textContent = `${s >= 3600 ? `${Math.floor(s / 3600)}:` : ""}${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
    }
    const since = Math.floor((Date.now() - swapped) / 1000);
    for (const each of document.querySelectorAll("[data-ago]")) {
      each.textContent = each.dataset.words.replace("{n}", Number(each.dataset.ago) + since);
    }
  }
  let swapped = Date.now();
  document.addEventListener("htmx:after:swap", () => { swapped = Date.now(); show(); });
  window.addEventListener("online", send);
  window.addEventListener("storage", show);
  setInterval(tell, 1000);
  setInterval(send, 3000);
  show();
  send();
})();
