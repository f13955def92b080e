"""How the card looks on screens wide and narrow, light and dark, and on paper."""

from __future__ import annotations

CSS = """
*{box-sizing:border-box}
html{scroll-behavior:smooth}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,"Noto Sans","DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
header,main{max-width:1040px;margin:0 auto;padding:0 28px}
header{padding-top:44px}
h1{font-size:2.1rem;line-height:1.15;letter-spacing:-.015em;margin:0 0 .25em;overflow-wrap:anywhere}
.kicker{color:var(--soft);font-size:.9rem;margin:0 0 1.4em;overflow-wrap:anywhere}
.lead{font-size:1.22rem;line-height:1.5;max-width:46em;margin:0 0 1.2em}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;margin:1.4em 0;
background:var(--line);border:1px solid var(--line);border-radius:8px;overflow:hidden;padding:0}
.tiles>div{background:var(--page);padding:14px 16px;display:flex;flex-direction:column-reverse;
justify-content:flex-end}
.tiles dt{color:var(--soft);font-size:.82rem;line-height:1.3}
.tiles dd{margin:0;font-size:1.6rem;font-weight:600;letter-spacing:-.01em;line-height:1.25;
font-variant-numeric:tabular-nums}
nav{position:sticky;top:0;z-index:2;background:var(--page);border-bottom:1px solid var(--line);
margin-top:20px;padding:8px max(28px,calc((100% - 984px)/2));display:flex;flex-wrap:wrap;gap:2px 20px;
font-size:.9rem}
nav a,.skip{color:var(--link);text-decoration:none;padding:2px 0}
nav a:hover{text-decoration:underline}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--link);
outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;background:var(--page);padding:6px 10px}
section{padding:34px 0 14px;border-bottom:1px solid var(--line);scroll-margin-top:44px}
section:last-child{border-bottom:0;padding-bottom:60px}
h2{font-size:1.42rem;letter-spacing:-.01em;margin:0 0 .5em;line-height:1.25}
h3{font-size:1.04rem;margin:2em 0 .4em}
p{margin:.5em 0 .9em;max-width:46em}
.note,.empty{color:var(--soft);font-size:.92rem}
.empty{border-left:3px solid var(--line);padding-left:12px}
figure{margin:1.5em 0 1.2em;break-inside:avoid}
figcaption{color:var(--soft);font-size:.9rem;line-height:1.45;max-width:54em;margin-top:.5em}
figcaption b{color:var(--ink);font-weight:600}
svg *{stroke-linejoin:round;stroke-linecap:butt}
svg{display:block;max-width:100%;min-width:640px;height:auto;font-family:inherit}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.89rem;line-height:1.4;margin:.4em 0 1em}
caption{caption-side:top;text-align:left;color:var(--soft);font-size:.88rem;padding:0 0 .45em}
th,td{text-align:left;vertical-align:top;padding:5px 14px 5px 0;border-bottom:1px solid var(--line);
overflow-wrap:anywhere}
thead th{color:var(--soft);font-weight:600;font-size:.82rem;white-space:nowrap;
border-bottom-color:var(--ghost)}
tbody th{font-weight:500;min-width:11em}
td{min-width:6.6em}td.n{min-width:0}
td.n,th.n{padding-right:20px}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;overflow-wrap:normal}
th:last-child,td:last-child,th.n:last-child,td.n:last-child{padding-right:0}
details{margin:.3em 0 1em}
summary{cursor:pointer;color:var(--link);font-size:.92rem;padding:3px 0}
details caption{display:none}
@media screen and (max-width:620px){table{min-width:540px}}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.2em}
.meter{display:inline-block;width:100%;min-width:90px;height:.62em;background:var(--panel);border-radius:2px}
.meter i{display:block;height:100%;border-radius:2px}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.87em}
code{overflow-wrap:anywhere}
pre{background:var(--panel);padding:12px 14px;border-radius:6px;overflow-x:auto;white-space:pre-wrap;
overflow-wrap:anywhere;margin:.6em 0 1em}
.record{background:var(--panel);border-radius:6px;padding:10px 14px;margin:.7em 0;break-inside:avoid}
.record p{margin:0 0 .4em;color:var(--soft);font-size:.84rem;max-width:none}
.record div{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.92rem;unicode-bidi:isolate}
.warn{border-left:3px solid var(--alert);padding:2px 0 2px 14px;margin:.9em 0}
.warn p{margin:.15em 0}
.warn b{color:var(--alert)}
dl{display:grid;grid-template-columns:minmax(9em,max-content) 1fr;gap:5px 20px;font-size:.93rem;margin:.6em 0 1.2em}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:620px){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}header,main{padding:0 16px}
nav{position:static;padding:8px 16px}h1{font-size:1.6rem}header{padding-top:24px}}
@media print{@page{margin:14mm}body{font-size:10.5pt;background:none}nav,.skip{display:none}
header,main{max-width:none;padding:0}section{padding:14px 0 4px}svg{min-width:0}.scroll{overflow:visible}
h2,h3{break-after:avoid}tr{break-inside:avoid}
.tiles{grid-template-columns:repeat(6,1fr)}.tiles dd{font-size:1.2rem}
details.long{display:none}details::details-content{content-visibility:visible;height:auto;display:block}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
