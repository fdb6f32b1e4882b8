"""The page's looks: one column, dark on white, the same on paper and on a phone. No style stands in an attribute."""

STYLE = """
:root{--ink:#1b1f24;--soft:#525c66;--line:#d5dae0;--wash:#f5f7f9;--blue:#0072b2;--bad:#a3370b}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%;color-scheme:light}
body{font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;color:var(--ink);background:#fff;
 max-width:70rem;margin:0 auto;padding:0 1rem 5rem;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:2rem 0 .3rem}
h2{font-size:1.3rem;margin:3rem 0 .4rem;padding-top:.7rem;border-top:3px solid var(--blue);scroll-margin-top:3rem}
h3{font-size:1.05rem;margin:1.8rem 0 .4rem}
p{margin:.4rem 0 .8rem;max-width:46rem}
.soft,caption,.note{color:var(--soft);font-size:.875rem}
.lost{color:var(--bad);white-space:pre-line}
.late{color:var(--bad)}
code{font:.82em ui-monospace,Menlo,Consolas,monospace;word-break:break-all}
nav{position:sticky;top:0;background:#fff;border-bottom:1px solid var(--line);z-index:2;margin:1rem 0 0;
 padding:.45rem 0;display:flex;gap:.2rem 1rem;overflow-x:auto;white-space:nowrap;font-size:.9rem}
a{color:var(--blue);text-underline-offset:.2em}
nav a{text-decoration:none;padding:.15rem 0}
a:focus-visible,button:focus-visible,[tabindex]:focus-visible{outline:3px solid #e69f00;outline-offset:2px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:1.2rem 0;padding:0;
 list-style:none}
.tiles li{background:var(--wash);border-radius:.5rem;padding:.7rem .9rem}
.tiles b{display:block;font-size:1.45rem;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles span{display:block;color:var(--soft);font-size:.85rem;line-height:1.35;margin-top:.2rem}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19.5rem),1fr));gap:1rem 1.5rem}
.maps{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),26rem));gap:1rem 2rem}
.pairs>figure{max-width:22rem}
.pairs{display:flex;flex-wrap:wrap;gap:1rem 2rem;align-items:start}
figure{margin:.4rem 0;min-width:0}
figure img,figure svg{display:block;max-width:100%;height:auto}
figcaption{font-size:.9rem;margin-bottom:.15rem;color:var(--ink);font-weight:600}
.flows{display:flex;flex-wrap:wrap;gap:.6rem .8rem}
.wide.matrix{flex:1 1 20rem;min-width:0}
.wide.matrix img{max-width:none}
.wide{overflow-x:auto;margin:.4rem 0;max-width:100%}
table{border-collapse:collapse;overflow-wrap:normal;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.2rem 0;caption-side:bottom}
th,td{padding:.32rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{border-bottom:2px solid var(--ink);vertical-align:bottom;font-weight:600}
thead tr:not(:last-child) th:not([rowspan]){border-bottom:1px solid var(--line)}
.tight :is(th,td){padding:.3rem .42rem}
tbody th{font-weight:400;min-width:9rem}
tbody tr:hover{background:var(--wash)}
.n{text-align:right;white-space:nowrap}
td.pub{color:var(--soft)}
td.why{min-width:15rem}
th small{display:block;color:var(--soft);font-size:.78rem;font-weight:400}
tr.total>*{border-top:2px solid var(--ink);font-weight:600}
button.v{font:inherit;color:inherit;background:none;border:0;padding:0 .1rem;margin:0;cursor:pointer;
 text-decoration:underline dotted #8a939c;text-underline-offset:.25em}
button.v.has{font-weight:600}
[popover]{display:none}
[popover]:popover-open{display:block;position:fixed;inset:auto 0 0 0;margin:0 auto;width:100%;max-width:52rem;
 max-height:70vh;overflow:auto;padding:1rem 1.2rem 1.4rem;border:0;border-top:3px solid var(--blue);background:#fff;
 color:var(--ink);box-shadow:0 -4px 24px #0004}
[popover] dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;margin:.3rem 0 .9rem;font-size:.85rem}
[popover] dt{color:var(--soft)}
[popover] dd{margin:0}
[popover] .close{float:right;font:inherit;border:1px solid var(--line);border-radius:.3rem;
 background:#fff;padding:.1rem .6rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,18.5rem),1fr));gap:1.1rem}
.card{border:1px solid var(--line);border-radius:.5rem;overflow:hidden;break-inside:avoid}
.clip{display:block;position:relative;background:#10151a;overflow:hidden}
.clip img{display:block;width:100%;height:auto}
.clip .moving{display:none;position:absolute;inset:0;height:100%;object-fit:contain;background:#10151a}
.clip:hover .moving,.clip:focus .moving{display:block}
.card dl{margin:0;padding:.6rem .8rem .7rem;display:grid;grid-template-columns:3rem 1fr;gap:.15rem .5rem;
 font-size:.9rem}
.card dt{color:var(--soft);font-size:.8rem;line-height:1.75}
.card dd{margin:0}
.query{border-top:1px solid var(--line);padding:.7rem 0 .5rem;break-inside:avoid}
.query p{margin:0 0 .4rem;max-width:none}
.query .soft{display:block}
.hits{display:flex;gap:.5rem;overflow-x:auto;margin:0;padding:3px;list-style:none;max-width:50rem}
.hit{flex:1 0 6.2rem;max-width:9rem;font-size:.75rem;line-height:1.3;color:var(--soft)}
.hit img,.back img{display:block;width:100%;height:auto;aspect-ratio:4/3;object-fit:contain;border-radius:.2rem;
 background:#10151a;margin-bottom:.3rem}
.hit.right img{outline:3px solid #009e73}
.hit.same img{outline:3px dashed #56b4e9}
.hit.sought{border-left:2px solid var(--line);padding-left:.5rem}
.hit b{color:#00704f;display:block}
.back{display:grid;grid-template-columns:7.5rem 1fr;gap:1rem;break-inside:avoid;margin:.8rem 0}
.back ol{margin:0;padding-left:1.3rem;font-size:.9rem}
details{margin:.8rem 0}
summary{cursor:pointer;color:var(--blue)}
footer{margin-top:3rem;color:var(--soft);font-size:.85rem}
@media(max-width:40rem){body{font-size:15px;padding:0 .9rem 4rem}h1{font-size:1.4rem}tbody th{min-width:8rem}
 th,td{padding:.3rem .45rem}.back{grid-template-columns:6rem 1fr}}
@media print{@page{margin:14mm}html{font-size:12px}body{font-size:1rem;max-width:none;padding:0}
 nav,[popover],.moving{display:none!important}
 h2,h3,h2+p,h3+p{break-after:avoid;break-inside:avoid}h2{border-top-width:2px;margin-top:1.6rem}
 figure,table,.tiles li,tr,.keep{break-inside:avoid}.maps{grid-template-columns:1fr 1fr}
 .panels{grid-template-columns:repeat(3,1fr)}
 .pairs{flex-wrap:nowrap;gap:1rem}.pairs>figure{flex:0 0 18rem}.wide.matrix img{max-width:100%}
 .cards{grid-template-columns:repeat(3,1fr)}.wide,.hits{overflow:visible}
 table{font-size:.85rem}th,td{padding:.15rem .4rem}tbody th{min-width:0}.n{white-space:normal}
 button.v{text-decoration:none}a{color:inherit;text-decoration:none}
 *{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
