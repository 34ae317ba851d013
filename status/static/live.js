// Replaces the sections that have changed; without this script the page reloads itself instead.
"use strict";
const said = document.getElementById("live");
const source = new EventSource(document.querySelector("main").dataset.live);
source.onopen = () => { said.textContent = "Live"; };
source.onerror = () => { said.textContent = "Not connected; trying again"; };
source.onmessage = (message) => {
  for (const [id, html] of Object.entries(JSON.parse(message.data))) {
    const section = document.getElementById(id);
    const place = [...section.querySelectorAll("a")].indexOf(document.activeElement);
    section.innerHTML = html;
    // Keep the keyboard focus in place.
    if (place >= 0) (section.querySelectorAll("a")[place] ?? section).focus();
  }
  said.textContent = `Updated at ${new Date().toLocaleTimeString()}`;
};
