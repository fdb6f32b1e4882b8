"""Style, script and icon: all that the pages load, served from here alone (no inline style or script)."""

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--raised:#f4f6f6;--text:#1c2326;--faint:#5a666b;--line:#d5dcde;
--accent:#0f766e;--on-accent:#fff;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ground:#14181a;--raised:#1e2427;--text:#e6ebec;--faint:#a0adb1;--line:#353f43;
--accent:#4fd1c0;--on-accent:#08211d;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:0 1rem 3rem;background:var(--ground);color:var(--text);
font:16px/1.45 system-ui,sans-serif}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.2rem 1rem;padding:1rem 0 .6rem}
header p{margin:0;color:var(--faint);font-size:.9rem;overflow-wrap:anywhere}
.home{font-weight:700;font-size:1.25rem;text-decoration:none}
a{color:var(--accent)}
h1{font-size:1.3rem;margin:1.6rem 0 .6rem;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:1.6rem 0 .6rem}
.ask{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
.ask form,.note{background:var(--raised);border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem;margin:0}
.ask label{display:block;font-weight:600;margin-bottom:.4rem}
.note{border-left:.3rem solid var(--accent)}
main>.note{margin-top:1rem}
.row{display:flex;gap:.5rem}
input{flex:1;min-width:0;font:inherit;color:inherit;background:var(--ground);border:1px solid var(--line);
border-radius:.4rem;padding:.45rem .6rem}
input[type=file]{font-size:.85rem}
button{font:inherit;font-weight:600;white-space:nowrap;color:var(--on-accent);background:var(--accent);border:0;
border-radius:.4rem;padding:.45rem .9rem;cursor:pointer}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.state{margin:.4rem 0 0;font-size:.85rem;color:var(--faint)}
.state.bad,.trouble{color:var(--bad)}
.dragging .drop{border:2px dashed var(--accent)}
.busy button{opacity:.5;pointer-events:none}
.cards,.names,.examples{list-style:none;margin:0;padding:0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,11.5rem),1fr));gap:1rem}
.card{display:flex;flex-direction:column;background:var(--raised);border:1px solid var(--line);border-radius:.6rem;
overflow:hidden;padding-bottom:.6rem}
.card>:not(video){margin:.4rem .7rem 0}
video{display:block;width:100%;aspect-ratio:4/3;object-fit:contain;background:#000}
.score{display:flex;align-items:center;gap:.5rem}
.number{font-variant-numeric:tabular-nums;font-size:.85rem;font-weight:600}
meter{flex:1;min-width:3rem;height:.6rem}
meter::-webkit-meter-bar{background:var(--line);border:0;border-radius:.3rem;height:.5rem}
meter::-webkit-meter-optimum-value{background:var(--accent);border-radius:.3rem}
meter::-moz-meter-bar{background:var(--accent)}
.title{overflow-wrap:anywhere;font-size:.95rem}
.more{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.2rem .6rem;font-size:.85rem}
.card>.more{margin-top:auto;padding-top:.4rem}
.label{color:var(--faint);overflow-wrap:anywhere}
.examples{display:flex;flex-wrap:wrap;gap:.5rem}
.examples a{display:block;padding:.3rem .8rem;border:1px solid var(--line);border-radius:1rem;text-decoration:none}
.about{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));gap:1.2rem;align-items:start}
.about h2{margin-top:0}
.about>div{max-width:28rem}
.about video{border-radius:.6rem}
.names li{display:grid;grid-template-columns:1fr 9rem;gap:.6rem;align-items:center;padding:.35rem 0;
border-bottom:1px solid var(--line);overflow-wrap:anywhere}
.took{color:var(--faint);font-size:.85rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem;margin:0}
dt{color:var(--faint)}
dd{margin:0;overflow-wrap:anywhere}
@media(max-width:30rem){.cards{grid-template-columns:1fr 1fr;gap:.6rem}.names li{grid-template-columns:1fr 7rem}}
"""

SCRIPT = """"use strict";

// Clips in view play; where the reader wants little motion, only the one under the pointer or with the focus does.
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const play = (video) => video.play().catch(() => video.setAttribute("data-still", ""));
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) target.pause();
    else if (!calm.matches) play(target);
  }
}, { threshold: 0.4 });
for (const video of document.querySelectorAll("video")) {
  seen.observe(video);
  video.addEventListener("pointerenter", () => play(video));
  video.addEventListener("focus", () => play(video));
}

// A clip that is dropped anywhere, or chosen, is sent at once.
const form = document.querySelector(".drop");
const input = form.querySelector("input");
const state = form.querySelector(".state");
const largest = Number(form.dataset.maxBytes);
const first = state.textContent;

function fits() {
  const file = input.files[0];
  const large = file && file.size > largest;
  state.classList.toggle("bad", Boolean(large));
  if (large) state.textContent = `${file.name} is too large: ${largest >> 20} MB are the limit.`;
  return Boolean(file) && !large;
}
form.addEventListener("submit", (event) => {
  if (!fits()) { event.preventDefault(); return; }
  form.classList.add("busy");
  state.textContent = "Looking at the clip\\u2026";
});
input.addEventListener("change", () => { if (fits()) form.requestSubmit(); });
addEventListener("pageshow", () => {  // the way back may lead to this page as it was left
  form.classList.remove("busy");
  state.classList.remove("bad");
  state.textContent = first;
});
const files = (event) => event.dataTransfer && event.dataTransfer.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!files(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  if (!files(event)) return;
  event.preventDefault();
  document.body.classList.remove("dragging");
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change"));
});
"""

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0f766e"/>'
    '<path d="M12 9l12 7-12 7z" fill="#fff"/></svg>'
)
