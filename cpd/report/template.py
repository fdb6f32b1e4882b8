"""The page: jinja2 with autoescape, no script, nothing fetched."""

from cpd.tables.render import STYLE as TABLE_STYLE

STYLE = (
    TABLE_STYLE
    + """
body{max-width:60rem;margin:0 auto;padding:0 1rem 4rem;color:#222;background:#fff}
h1{font-size:1.5rem;margin:1.5rem 0 .5rem}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem;padding-top:.5rem;border-top:3px solid #2a9d8f}
h3{font-size:1rem;margin:1.5rem 0 .5rem}
nav a{margin-right:1rem;white-space:nowrap}
img{width:100%;max-width:46rem;height:auto}
figure{margin:1rem 0}
figcaption,p,ol{font-size:.9rem;color:#444}
.lost{color:#a33}
.titles td{white-space:normal;min-width:9rem;text-align:left}
code{font-size:.8rem;word-break:break-all;white-space:normal}
"""
)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>Corpus: <b>{{ corpus }}</b>; {{ n_runs }} runs, seeds {{ seeds|join(", ") }}.
{% if corpus != "full" %}Published numbers are of the full-size data: deltas are not comparable with this corpus.
{% endif %}</p>
<nav>{% for id, name in sections %}<a href="#{{ id }}">{{ name }}</a>{% endfor %}</nav>

<h2 id="data">From ids to shards</h2>
{% if attrition %}
<img alt="share of ids by status" src="{{ attrition_figure }}">
<div class="wide"><table>
<thead><tr><th>Source</th><th>Split</th><th class=n>Ids</th><th class=n>In shards</th><th class=n>Lost</th>
<th>Why</th></tr></thead>
<tbody>{% for row in attrition %}
<tr><td>{{ row.source }}</td><td>{{ row.split }}</td><td class=n>{{ row.planned }}</td>
<td class=n>{{ row.counts.get("ok", 0) }}</td>
<td class=n>{{ row.planned - row.counts.get("ok", 0) }}</td>
<td>{% for status, n in row.counts.items() if status != "ok" %}{{ status }} {{ n }}{{ ", " if not loop.last }}
{%- endfor %}</td></tr>
{% endfor %}</tbody></table></div>
{% else %}<p class="lost">No source has an index.json yet.</p>{% endif %}

<h2 id="training">Learning curves</h2>
{% if curves %}<p>Losses of different objectives cannot be compared; validation retrieval can.</p>
<img alt="training loss and validation retrieval by epoch" src="{{ curves_figure }}">
{% else %}<p class="lost">No run has a log yet.</p>{% endif %}
{% for curve in curves if curve.note %}<p class="lost">{{ curve.note }}</p>{% endfor %}

<h2 id="tables">Tables</h2>
{% for table in tables %}
{% if table.problem %}<h3>{{ table.title }}</h3><p class="lost">{{ table.problem }}</p>
{% else %}{{ table.html|safe }}{% endif %}
{% endfor %}

<h2 id="factors">Motion and appearance</h2>
<p>Share of predictions whose class has the right motion, and the right appearance.
Dotted: always guessing the commonest.</p>
{% for caption, figure in factor_figures %}
<figure><img alt="{{ caption }}" src="{{ figure }}"><figcaption>{{ caption }}</figcaption></figure>
{% else %}<p class="lost">No result tells its factors apart.</p>{% endfor %}

<h2 id="titles">Titles</h2>
{% for source, rows in examples.items() %}
<h3>{{ source }}</h3>
<div class="wide"><table class="titles">
<thead><tr><th>As written</th><th>title-clean</th><th>title-tree</th></tr></thead>
<tbody>{% for row in rows %}<tr><td>{{ row.title }}</td><td>{{ row.title_clean }}</td><td>{{ row.title_tree }}</td></tr>
{% endfor %}</tbody></table></div>
{% else %}<p class="lost">No titles have been parsed yet.</p>{% endfor %}

<h2 id="provenance">Where the numbers come from</h2>
{% if provenance.runs %}
<div class="wide"><table>
<thead><tr><th>Run</th><th>SHA-256 of its weights</th></tr></thead>
<tbody>{% for run, found in provenance.runs.items() %}
<tr><td>{{ run }}</td><td><code>{{ found.weights }}</code></td></tr>{% endfor %}</tbody></table></div>
{% for versions in provenance.versions %}
<p>{% for name, version in versions.items() %}{{ name }} {{ version }}{{ ", " if not loop.last }}
{%- endfor %}</p>{% endfor %}
<p>Processes: {{ provenance.world_sizes|join(", ") }}.</p>
{% else %}<p class="lost">No result files yet.</p>{% endif %}
</body>
</html>
"""
