// The page that is cast: 12 px text that is the same on each run. `show(n)` turns to another slide.
export const SLIDES_TITLE = 'castway sharpness source';

export const SLIDES = `<!doctype html><meta charset="utf-8"><title>${SLIDES_TITLE}</title><style>
html,body{margin:0;height:100%;overflow:hidden;background:#fff;color:#202124}
body{font:12px/16px "DejaVu Sans",sans-serif;box-sizing:border-box;padding:16px;column-width:420px;column-gap:24px}
p{margin:0 0 6px}b{color:#1a5fb4}i{color:#a51d2d;font-style:normal}.dark{background:#1e1e1e;color:#d4d4d4}
</style><body><script>
const WORDS = 'relay allocation permission channel candidate address lifetime quarterly revenue forecast (2.75 %) [index] => "value"; while network latency of the meeting room is 18 ms and rising, function returns null 0x1F4A9 Il1| O0 mnrn'.split(' ');
function show(slide) {
  let state = 12345 + slide * 7919;
  const next = (bound) => (state = (state * 1103515245 + 12345) % 2147483648) % 65536 % bound;
  document.body.className = slide % 2 ? 'dark' : '';
  const paragraphs = Math.ceil(innerWidth * innerHeight / 26000);
  let html = '';
  for (let p = 0; p < paragraphs; p++) {
    html += '<p>';
    for (let w = 0; w < 42; w++) {
      const word = WORDS[next(WORDS.length)].replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
      html += (next(14) ? word : next(2) ? '<b>' + word + '</b>' : '<i>' + word + '</i>') + ' ';
    }
    html += '</p>';
  }
  document.body.innerHTML = html;
}
show(0);
</script>`;
