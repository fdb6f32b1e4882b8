"""The sections of the page that show results."""

TABLES = """
{% for t in c.tables %}
{% if t.problem %}<h3>{{ t.heading }}</h3><p class="lost">{{ t.problem }}</p>{% else %}
<div class="keep"><h3 id="{{ t.name }}">{{ t.heading }}</h3>
{% set published = t.columns|selectattr(1)|list %}
<div class="wide" tabindex="0" role="region" aria-label="{{ t.name }}"><table>
<thead><tr><th scope="col"{% if published %} rowspan="2"{% endif %}>{{ "Method" }}</th>
{%- for column, has in t.columns %}<th scope="colgroup" class="n"
{%- if has %} colspan="{{ 3 if t.is_comparable else 2 }}"{% elif published %} rowspan="2"{% endif %}>{{ column }}</th>
{%- endfor %}</tr>
{% if published %}<tr>{% for column, has in t.columns if has %}<th scope="col" class="n">paper</th>
<th scope="col" class="n">here</th>{% if t.is_comparable %}<th scope="col" class="n">Δ</th>{% endif %}{% endfor %}</tr>
{% endif %}</thead>
<tbody>{% for row in t.rows %}
<tr><th scope="row">{{ row.name }}{% if row.note %}<small>{{ row.note }}</small>{% endif %}</th>
{%- for cell in row.cells %}{% set has = t.columns[loop.index0][1] %}
{%- if has %}<td class="n pub">{{ cell.published }}</td>{% endif %}<td class="n">
{%- if cell.origins or cell.why %}<button class="v{{ " has" if cell.value is not none }}"
 popovertarget="{{ cell.id }}" title="{{ cell.summary }}">
{{- cell.text }}</button>{% else %}{{ cell.text }}{% endif %}</td>
{%- if has and t.is_comparable %}<td class="n">{{ cell.delta }}</td>{% endif %}{% endfor %}</tr>{% endfor %}
</tbody>
<caption>Here: mean over splits, then over seeds ({{ t.seeds|join(", ") or "none yet" }})
{{- ", ± standard deviation over seeds" if t.seeds|length > 1 }}. Percent, except ranks.
{% if t.draws %}Of drawn classes ± is the standard deviation over the draws. {% endif %}
{% if t.note %}{{ t.note }} {% endif %}
{%- if not published %}The paper's text has no such numbers.{% elif not t.is_comparable %}
Paper: on the full-size data, not comparable with this corpus.{% endif %}
{%- if t.has_gaps %} — under paper: not published in text.{% endif %}</caption>
</table></div></div>
{% for row in t.rows %}{% for cell in row.cells if cell.origins or cell.why %}
<div popover id="{{ cell.id }}">
<button class="close" popovertarget="{{ cell.id }}" popovertargetaction="hide">Close</button>
<b>{{ row.name }}, {{ cell.column }}: {{ cell.text }}</b>
{% for reason in cell.why %}<p>{{ reason }}</p>{% endfor %}
{% for o in cell.origins %}<dl><dt>file</dt><dd><code>{{ o.path }}</code></dd>
<dt>run</dt><dd>{{ o.run }} (seed {{ o.seed }})</dd>
<dt>weights</dt><dd><code>{{ o.weights }}</code></dd>
<dt>config, code</dt><dd><code>{{ o.config }}</code>, <code>{{ o.code }}</code></dd>
<dt>measured on</dt><dd>{{ o.n|count }} items in {{ o.seconds|duration }},
{{ o.processes }} process{{ "es" if o.processes > 1 }}</dd></dl>{% endfor %}
</div>{% endfor %}{% endfor %}
{% endif %}{% endfor %}
"""

RETRIEVAL = """{% from "macros" import drawing, picture, hit, missing %}
{% macro query(q, control) %}<div class="query"><p>“<bdi>{{ q.title }}</bdi>”
<span class="soft">its video is <b>number {{ q.rank|count }}</b>
{%- if q.control_rank %}; for {{ control }} number {{ q.control_rank|count }}{% endif %}</span></p>
<ol class="hits">{% for h in q.hits %}{{ hit(h) }}{% endfor %}
{%- if q.rank > q.hits|length %}<li class="hit sought">{{ picture(q.picture, "the video that was sought") }}
<b>sought</b>
{{- "(number " ~ q.rank ~ ")" }}</li>{% endif %}</ol></div>{% endmacro %}
{% for r in c.retrievals %}
<p>{{ r.n|count }} held-out titles of {{ r.dataset }} look for their video among all {{ r.n|count }}, by
<b>{{ r.run }}</b>{% if r.control %}, beside <b>{{ r.control }}</b>{% endif %}. Green frame: the right video.
Dashed: another of the same class.</p>
{{ drawing(figures.ranks[loop.index0]) }}
<h3>Found at once <span class="soft">({{ r.found|length }} of {{ r.first|count }}, evenly spread)</span></h3>
{% for q in r.found %}{{ query(q, r.control) }}{% else %}<p>No title found its video at once.</p>{% endfor %}
<h3>Worst failures <span class="soft">(the lowest {{ r.missed|length }} of {{ (r.n - r.first)|count }})</span></h3>
{% for q in r.missed %}{{ query(q, r.control) }}{% else %}<p>None.</p>{% endfor %}
<h3>The other way: videos that look for their title
<span class="soft">({{ r.back|length }} of {{ r.n|count }}, evenly spread)</span></h3>
{% for q in r.back %}<div class="back"><div>{{ picture(q.picture, "the video that looks for its title") }}</div><div>
<ol>{% for h in q.hits %}<li>{% if h.match == "right" %}<b><bdi>{{ h.title }}</bdi> ✓</b>
{%- else %}<bdi>{{ h.title }}</bdi>
{%- if h.match %} <span class="soft">({{ h.match }})</span>{% endif %}{% endif %}</li>{% endfor %}</ol>
{% if q.rank > q.hits|length %}<p class="soft">Its own, “<bdi>{{ q.title }}</bdi>”, is number {{ q.rank|count }}.</p>
{%- endif %}</div></div>{% endfor %}
{% endfor %}
{% if not c.retrievals or c.problems.retrieval %}
{{ missing(c.problems.retrieval, "No table asks for retrieval of a shown run.") }}{% endif %}
"""

CLASSES = """{% from "macros" import drawing, missing %}
{% for r in c.classes %}
<div class="keep"><h3>{{ r.protocol }} on {{ r.dataset }}, split {{ r.split }}</h3>
<div class="pairs">{{ drawing(figures.accuracy[loop.index0]) }}
<div class="wide matrix" tabindex="0" role="region" aria-label="confusions">
{{- drawing(figures.confusion[loop.index0]) }}</div></div>
{% if r.pairs %}<p class="soft">Commonest mistakes: {% for truth, guess, n in r.pairs -%}
{{ truth }} → {{ guess }} ({{ n }}){{ ", " if not loop.last }}{% endfor %}.</p>{% endif %}</div>
{% endfor %}
{% if not c.classes or c.problems.classes %}
{{ missing(c.problems.classes, "No table asks for a classification by a shown run.") }}{% endif %}
"""

MAP = """{% from "macros" import drawing, missing %}
{% if c.maps %}<p>Test videos of {{ c.maps[0].dataset }} by their embedding, laid out by t-SNE: who is near
whom is meant, how far apart groups lie is not. Colour: {{ c.maps[0].colour_name }}
{%- if c.maps[0].marker_name %}; shape: {{ c.maps[0].marker_name }}{% endif %}.</p>
<div class="maps">{% for d in figures.map %}{{ drawing(d) }}{% endfor %}</div>{% endif %}
{% if not c.maps or c.problems.map %}
{{ missing(c.problems.map, "No data set has frozen features of both shown runs.") }}{% endif %}
"""

FACTORS = """{% from "macros" import drawing %}
{% if figures.factors %}<p>Share of predictions whose class has the right value of each factor, whatever the others are.
Dotted: always guessing the commonest. Of several splits the first.</p>
<div class="panels">{% for d in figures.factors %}{{ drawing(d) }}{% endfor %}</div>
{% else %}<p class="lost">No result tells its factors apart.</p>{% endif %}
"""

COST = """{% macro metrics(r) %}pretrain/{{ r.run }}/metrics.json{% endmacro %}
{% macro number(text, file, late=false) -%}
<td class="n{{ " late" if late }}"{% if text is not none %} title="from {{ file }}"{% endif %}>
{{- "—" if text is none else text }}</td>{% endmacro %}
{% if c.costs %}
<div class="wide" tabindex="0" role="region" aria-label="cost by run"><table class="tight">
<caption>Time as the runs and Snakemake measured it. Waiting for data: share of a training step, median. Peak memory: of
one job's main memory, not the GPU's. Protocols: those on frozen features that tables name. —: not known.</caption>
<thead><tr><th scope="col">Run</th><th scope="col" class="n">Pretraining</th><th scope="col" class="n">Features</th>
<th scope="col" class="n">Protocols</th><th scope="col" class="n">Fine-tuning</th>
<th scope="col" class="n">Together</th>
<th scope="col" class="n">Clips/s</th><th scope="col" class="n">Waiting for data</th>
<th scope="col" class="n">Peak memory</th><th scope="col" class="n">Processes</th></tr></thead>
<tbody>{% for r in c.costs %}<tr><th scope="row">{{ r.run }}</th>
{% for part, file in ((r.pretrain, metrics(r)), (r.features, "benchmarks/features/" ~ r.run ~ "/*.tsv"),
 (r.protocols, "eval/" ~ r.run ~ "/*/*.json"), (r.finetune, "eval/" ~ r.run ~ "/finetune/*.json")) -%}
{{ number(none if part is none else part|duration, file) }}{% endfor %}
<td class="n">{{ r.total|duration }}</td>
{{ number(none if r.clips_per_second is none else "%.0f"|format(r.clips_per_second), metrics(r)) }}
{{ number(none if r.data_share is none else "%.0f %%"|format(r.data_share), metrics(r) ~ "l", r.starved) }}
{{ number(none if r.memory is none else "%.0f MB"|format(r.memory), "benchmarks/*/" ~ r.run ~ "*") }}
{{ number(r.processes, metrics(r)) }}</tr>{% endfor %}
<tr class="total"><th scope="row">All runs</th>
{% for part in ("pretrain", "features", "protocols", "finetune", "total") -%}
<td class="n">{{ c.costs|map(attribute=part)|select("number")|sum|duration }}</td>{% endfor %}
<td></td><td></td><td></td><td></td></tr>
</tbody></table></div>
{% set known = c.costs|rejectattr("data_share", "none")|list %}
{% set late = known|selectattr("starved")|map(attribute="run")|list %}
{% if late %}<p class="late">The loader was too slow for {{ "every training" if late|length == known|length > 1
else late|join(", ") }}: over {{ starved }} of a step was spent waiting for clips.
<code>cpd profile {{ late|first }}</code> says how many cores would keep up
(<code>train.workers</code>; a smaller <code>clips.short_side</code> needs fewer).</p>
{% elif known %}<p class="soft">The loader kept up with every training.</p>
{% endif %}
{% else %}<p class="lost">No run has finished yet.</p>{% endif %}
"""

PROVENANCE = """{% if c.weights %}
<p>Every underlined number of the tables names its files, its run, and the digests of weights, settings and code.</p>
<div class="wide" tabindex="0" role="region" aria-label="weights"><table>
<caption>The weights behind all numbers</caption>
<thead><tr><th scope="col">Run</th><th scope="col">SHA-256 of its weights</th>
<th scope="col" class="n">Processes</th></tr></thead>
<tbody>{% for w in c.weights %}<tr><th scope="row">{{ w.run }}</th><td><code>{{ w.sha256 }}</code></td>
<td class="n">{{ w.processes|join(", ") }}</td></tr>{% endfor %}</tbody></table></div>
{% for versions in c.versions %}<p class="soft">{% for name, version in versions.items() -%}
{{ name }} {{ version }}{{ ", " if not loop.last }}{% endfor %}</p>{% endfor %}
{% else %}<p class="lost">No result files yet.</p>{% endif %}
"""

TEMPLATES = {
    "tables": TABLES,
    "retrieval": RETRIEVAL,
    "classes": CLASSES,
    "map": MAP,
    "factors": FACTORS,
    "cost": COST,
    "provenance": PROVENANCE,
}
