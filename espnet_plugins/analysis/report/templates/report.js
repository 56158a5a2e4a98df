"use strict";
(() => {
  const root = document.documentElement;
  const button = document.querySelector("#theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { button.textContent = dark() ? "Light theme" : "Dark theme"; };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  name();
  // One version at a time: comparing needs silence from the others.
  const players = [...document.querySelectorAll("audio")];
  for (const player of players) {
    player.addEventListener("play", () => {
      for (const other of players) if (other !== player) other.pause();
    });
  }
})();
