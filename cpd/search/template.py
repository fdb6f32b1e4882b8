"""The pages: jinja2 with autoescape; titles, classes, file names and keys are strangers' text."""

BASE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" type="image/svg+xml" href="/icon.svg">
<script src="/page.js" defer></script>
</head>
<body>
<header>
<a class="home" href="/">CPD search</a>
<p>{{ "{:,}".format(gallery|length) }} clips of <b>{{ gallery.source }}-{{ gallery.split }}</b>, seen by
<b>{{ gallery.place.run }}</b></p>
</header>
<main>
<div class="ask">
{% if gallery.has_text %}
<form action="/" method="get" role="search">
<label for="q">Describe what happens</label>
<div class="row"><input id="q" name="q" type="search" maxlength="{{ longest }}" value="{{ asked }}" autocomplete="off"
 placeholder="{{ placeholder }}"><button>Search</button></div>
</form>
{% else %}
<p class="note">This run did not learn from titles (objective: {{ gallery.exp.objective.name }}), so that a sentence
finds nothing here. Clips are compared with clips, by res5.</p>
{% endif %}
<form class="drop" action="/clip" method="post" enctype="multipart/form-data" data-max-bytes="{{ largest }}">
<label for="clip">{{ "Or drop" if gallery.has_text else "Drop" }} a clip here</label>
<div class="row"><input id="clip" name="clip" type="file" accept="video/*,.mkv,.avi,.flv,.ogv"><button>
{{- "Find titles" if gallery.has_text else "Find clips" }}</button></div>
<p class="state" role="status">Up to {{ largest // 1048576 }} MB; its first {{ seconds }} seconds are looked at.</p>
</form>
</div>
{% if gallery.exp.shuffle_titles %}
<p class="note">The control: this run learned from shuffled titles. What it finds, it finds by chance.</p>
{% endif %}
{% block body %}{% endblock %}
</main>
</body>
</html>
"""

PARTS = """
{% macro score(found) -%}
<span class="score"><meter min="0" max="1" value="{{ '%.4f'|format(found.share) }}"
 aria-label="from the least alike to the most"></meter>
<span class="number">{{ "%.3f"|format(found.score) }}</span></span>
{%- endmacro %}
{% macro card(clip, found=none) %}
<li class="card">
<video src="/clip/{{ clip.key }}.mp4" muted loop playsinline controls preload="metadata"
 aria-label="{{ clip.title or clip.label or clip.key }}"></video>
{% if found %}{{ score(found) }}{% endif %}
<p class="title"><bdi>{{ clip.title or "(no title)" }}</bdi></p>
<p class="more">{% if clip.label %}<bdi class="label">{{ clip.label }}</bdi>{% endif %}
<a href="/clip/{{ clip.key }}" aria-label="more like this: {{ clip.title or clip.key }}">more like this</a></p>
</li>
{% endmacro %}
{% macro cards(hits) %}
<ol class="cards">{% for hit in hits %}{{ card(hit.clip, hit) }}{% endfor %}</ol>
{% endmacro %}
{% macro names(heading, found) %}
<section><h2>{{ heading }}</h2>
<ol class="names">{% for named in found %}<li><bdi>{{ named.name }}</bdi>{{ score(named) }}</li>{% endfor %}</ol>
</section>
{% endmacro %}
{% macro took(answer, what) %}
<p class="took">{{ what }} in {{ "%.1f"|format(answer.embed_ms) }} ms,
{{ "{:,}".format(gallery|length) }} clips compared in {{ "%.1f"|format(answer.search_ms) }} ms.
Numbers are cosines, of which the order counts; bars run from the least alike of all to the most.</p>
{% endmacro %}
"""

HOME = """{% extends "base" %}{% from "parts" import card with context %}
{% block body %}
<h1>Clips, found by what happens in them</h1>
{% if examples %}
<h2>Try</h2>
<ul class="examples">{% for example in examples %}
<li><a href="/?q={{ example|urlencode }}"><bdi>{{ example }}</bdi></a></li>{% endfor %}</ul>
{% endif %}
<h2>Some of the clips</h2>
<ul class="cards">{% for clip in samples %}{{ card(clip) }}{% endfor %}</ul>
<h2>What is searched</h2>
<dl>
<dt>Clips</dt><dd>{{ "{:,}".format(gallery|length) }} of {{ gallery.source }}-{{ gallery.split }}
{%- if gallery.failed %}; {{ gallery.failed }} more could not be decoded{% endif %}</dd>
<dt>Run</dt><dd>{{ gallery.place.run }} (objective: {{ gallery.exp.objective.name }})</dd>
<dt>Weights</dt><dd><code>{{ gallery.weights[:16] }}</code> (SHA-256)</dd>
<dt>Classes</dt><dd>{{ gallery.classes|length or "none" }}</dd>
</dl>
{% endblock %}
"""

FOUND = """{% extends "base" %}{% from "parts" import cards, took with context %}
{% block body %}
<h1>Clips for <q><bdi>{{ query.typed }}</bdi></q></h1>
{% if query.read != query.typed %}<p class="took">Read as <bdi>{{ query.read }}</bdi>.</p>{% endif %}
{{ cards(answer.hits) }}
{{ took(answer, "Sentence embedded") }}
{% endblock %}
"""

ABOUT = """{% extends "base" %}{% from "parts" import cards, names, took with context %}
{% block body %}
<h1><bdi>{{ heading }}</bdi></h1>
<div class="about">
<div><video src="{{ video }}" muted loop playsinline controls preload="metadata" aria-label="{{ heading }}"></video>
{% if label %}<p class="more"><bdi class="label">{{ label }}</bdi></p>{% endif %}</div>
{% if answer.titles %}{{ names("Nearest titles", answer.titles) }}{% endif %}
{% if answer.classes %}{{ names("Nearest classes", answer.classes) }}{% endif %}
</div>
<h2>Clips like it</h2>
{{ cards(answer.hits) }}
{{ took(answer, what) }}
{% endblock %}
"""

TROUBLE = """{% extends "base" %}
{% block body %}
<h1>{{ heading }}</h1>
<p class="trouble" role="alert"><bdi>{{ message }}</bdi></p>
<p><a href="/">Start again</a></p>
{% endblock %}
"""

TEMPLATES = {"base": BASE, "parts": PARTS, "home": HOME, "found": FOUND, "about": ABOUT, "trouble": TROUBLE}
