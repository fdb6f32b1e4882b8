"""The page as jinja templates: autoescaped, no script, nothing fetched. One template a section."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="color-scheme" content="light">
<title>{{ title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<header>
<h1>{{ title }}</h1>
<p class="soft">Learning spatiotemporal features via video and text pair discrimination (arXiv 2001.05691).
Corpus: <b>{{ c.config.corpus }}</b>; {{ n_runs }} runs, seeds {{ c.config.seeds|join(", ") }}.
{% if c.config.corpus != "full" %}Published numbers are of the full-size data: nothing here can be compared with them.
{% endif %}
{% for run in c.shown.both %}{{ ", beside" if loop.index0 else "Examples, classes and the map are of" }}
<b>{{ run }}</b>
{{- "." if loop.last }}{% endfor %}</p>
<ul class="tiles">{% for tile in tiles %}
<li title="from {{ tile.source }}"><b>{{ tile.value }}</b><span>{{ tile.label }}</span></li>{% endfor %}
</ul>
</header>
<nav aria-label="Sections">{% for id, name in sections %}<a href="#{{ id }}">{{ name }}</a>{% endfor %}</nav>
<main>
{% for id, name in sections %}<section>
<h2 id="{{ id }}">{{ name }}</h2>
{% include id %}
</section>
{% endfor %}</main>
<footer>Made by <code>cpd report</code> from the files of <code>{{ c.config.results }}</code> alone. Underlined numbers
tell where they come from: hover, tap, or press Enter. Figures, the numbers at the top and those
of the costs name their files on hover.</footer>
</body>
</html>
"""

MACROS = """
{% macro picture(p, alt) -%}
{% if p.problem %}<span class="lost">cannot be decoded: {{ p.problem }}</span>
{%- else %}<img src="{{ p.still }}" width="{{ p.width }}" height="{{ p.height }}" alt="{{ alt }}">{% endif %}
{%- endmacro %}
{% macro drawing(d) -%}
<figure title="from {{ d.source }}"><figcaption>{{ d.caption }}</figcaption><img src="{{ d.address }}"
 alt="{{ d.alt }}" width="{{ d.size[0] }}" height="{{ d.size[1] }}"></figure>
{%- endmacro %}
{% macro hit(h) -%}
<li class="hit {{ {"right": "right", "same class": "same"}.get(h.match, "") }}">{{ picture(h.picture, h.title) }}
{%- if h.match %}<b>{{ h.match }}</b>{% endif %}<bdi>{{ h.title }}</bdi></li>
{%- endmacro %}
{% macro missing(problems, otherwise) -%}
{% for problem in problems %}<p class="lost">{{ problem }}</p>{% else %}<p class="lost">{{ otherwise }}</p>{% endfor %}
{%- endmacro %}
"""

DATA = """{% from "macros" import drawing %}
{% if c.flows %}
<p>Every listed id ends as a sample of a shard, or with its reason: listed = in shards + lost + waiting. A band is as
wide as there are ids.</p>
<div class="flows">{% for d in figures.flow %}
<figure title="from {{ d.source }}"><figcaption>{{ d.caption }}</figcaption>{{ d.svg|safe }}</figure>{% endfor %}
</div>
<div class="wide" tabindex="0" role="region" aria-label="ids by source and split"><table>
<caption>Ids of every source and split</caption>
<thead><tr><th scope="col">Source</th><th scope="col">Split</th><th scope="col" class="n">Listed</th>
<th scope="col" class="n">In shards</th><th scope="col" class="n">Share</th><th scope="col" class="n">Lost</th>
<th scope="col" class="n">Waiting</th><th scope="col">Why lost</th></tr></thead>
<tbody>{% for f in c.flows %}
<tr><td>{{ f.source }}</td><td>{{ f.split }}</td><td class="n">{{ f.listed|count }}</td>
<td class="n">{{ f.samples|count }}</td><td class="n">{{ f.samples|percent(f.listed) }}</td>
<td class="n">{{ f.lost.values()|sum|count }}</td><td class="n">{{ f.waiting|count }}</td>
<td class="why">{% for reason, n in f.lost.items() %}{{ reason }} {{ n|count }}{{ ", " if not loop.last }}{% else %}—
{%- endfor %}</td>
</tr>{% endfor %}</tbody></table></div>
{% for f in c.flows if f.problem %}<p class="lost">{{ f.source }}, {{ f.split }}: {{ f.problem }}</p>{% endfor %}
{% for f in c.flows if f.waiting == f.listed %}{% if loop.first %}
<p class="lost">Nothing has been fetched yet of:
{%- for g in c.flows if g.waiting == g.listed %} {{ g.source }} {{ g.split }}{{ "," if not loop.last }}
{%- endfor %}.</p>
{% endif %}{% endfor %}
{% else %}<p class="lost">The config names no source.</p>{% endif %}
"""

CLIPS = """{% from "macros" import picture %}
{% for g in c.galleries %}
<div class="{{ "" if g.has_titles else "keep" }}"><h3>{{ g.source }}</h3>
{% if g.problem %}<p class="lost">{{ g.problem }}</p>{% else %}
<p class="soft">{{ g.examples|length }} of {{ g.total|count }} clips of its first split, evenly spread.
Point at one, or tap it, and it moves.</p>
<div class="cards">{% for e in g.examples %}
<div class="card"><span class="clip" tabindex="0">{{ picture(e.picture, "frames of: " ~ (e.title or e.label)) }}
{%- if e.picture.moving %}<img class="moving" src="{{ e.picture.moving }}" alt="">{% endif %}</span>
<dl>{% if g.has_titles %}<dt>raw</dt><dd><bdi>{{ e.title }}</bdi></dd>
<dt>clean</dt><dd><bdi>{{ e.title_clean }}</bdi></dd>
<dt>tree</dt><dd><bdi>{{ e.title_tree }}</bdi></dd>{% endif %}
{% if e.label %}<dt>class</dt><dd class="soft">{{ e.label }}</dd>{% endif %}</dl></div>{% endfor %}
</div>{% endif %}</div>
{% else %}<p class="lost">No source has an index.json yet.</p>{% endfor %}
{% if c.titles %}
<div class="wide" tabindex="0" role="region" aria-label="titles"><table>
<caption>What became of all titles. Raw: as its author wrote it; clean: without symbols, other languages and emoji;
tree: its verbs and nouns, or the clean title where it has none (fallback).</caption>
<thead><tr><th scope="col">Source</th><th scope="col" class="n">Titles</th><th scope="col" class="n">Kept</th>
<th scope="col" class="n">Changed by cleaning</th><th scope="col" class="n">Tree fallback</th>
<th scope="col" class="n">Shortened</th><th scope="col" class="n">Mended</th>
<th scope="col" class="n">Words: raw, clean, tree</th></tr></thead>
<tbody>{% for t in c.titles %}<tr><td>{{ t.source }}</td><td class="n">{{ t.n|count }}</td>
<td class="n">{{ t.kept|percent(t.n) }}</td><td class="n">{{ t.changed|percent(t.kept) }}</td>
<td class="n">{{ t.fallback|percent(t.kept) }}</td><td class="n">{{ t.cut|count }}</td>
<td class="n">{{ t.replaced|count }}</td>
<td class="n">{% for w in t.words %}{{ "%.1f"|format(w) }}{{ ", " if not loop.last }}{% endfor %}</td></tr>{% endfor %}
</tbody></table></div>
{% else %}<p class="lost">No titles have been parsed yet.</p>{% endif %}
"""

TRAINING = """{% from "macros" import drawing %}
{% for d in figures.overview %}{{ drawing(d) }}{% endfor %}
{% if figures.curves %}
<p>Losses of different objectives cannot be compared; validation retrieval can. A dashed line marks where the
curriculum's next stage begins.</p>
<div class="panels">{% for d in figures.curves %}{{ drawing(d) }}{% endfor %}</div>
{% elif not c.curves %}<p class="lost">No run has a log yet.</p>{% endif %}
{% for curve in c.curves if curve.note %}<p class="lost">{{ curve.note }}</p>{% endfor %}
"""

TEMPLATES = {"macros": MACROS, "page": PAGE, "data": DATA, "clips": CLIPS, "training": TRAINING}
