import { groups } from './code';
import { receive, type VideoTv } from './tv/receive';
import type { TvState } from './tv/model';

const STYLE = `
:host { display: block; position: relative; overflow: hidden; background: #000; color: #fff; font-family: system-ui, sans-serif; }
:host([hidden]) { display: none; }
video, canvas { position: absolute; left: 0; top: 0; width: 100%; height: 100%; object-fit: contain; }
.idle { position: absolute; left: 0; top: 0; width: 100%; height: 100%; display: flex; flex-direction: column; align-items: center; justify-content: center; text-align: center; }
.code { font-size: var(--castway-code-size, 12vmin); font-weight: 700; letter-spacing: 0.08em; margin: 0; }
.status { font-size: var(--castway-status-size, 3vmin); margin: 1em; }
.sound { position: absolute; right: 2%; bottom: 3%; font: inherit; padding: 0.6em 1em; }
[hidden] { display: none !important; }
`;

type Language = 'en' | 'zh';

const TEXTS: Record<Language, Record<TvState | 'offline' | 'sound', string>> = {
  en: {
    unsupported: 'This browser has no WebRTC.',
    replaced: 'Another window shows this code now.',
    connecting: 'Connecting to the server …',
    waiting: 'Type this code to share your screen.',
    starting: 'A cast is starting …',
    playing: '',
    offline: 'The server can’t be reached. Trying again …',
    sound: 'Turn the sound on',
  },
  zh: {
    unsupported: '此浏览器不支持 WebRTC。',
    replaced: '另一个窗口正在使用此投屏码。',
    connecting: '正在连接服务器……',
    waiting: '输入此投屏码，即可共享屏幕。',
    starting: '投屏即将开始……',
    playing: '',
    offline: '无法连接服务器，正在重试……',
    sound: '打开声音',
  },
};

/**
 * `<castway-tv server="https://cast.example.org" name="Kitchen">`: shows a code, and the casts of people who type it. Both attributes may
 * be missing; they are read when the element is put into the page. `lang` chooses the texts. The parts `code`, `status`, `video` and
 * `sound` can be styled. The event `castway-state` has the state in `detail`.
 */
export class CastwayTvElement extends HTMLElement {
  /** The TV, while the element is in a page. */
  tv: VideoTv | null = null;
  private readonly root: ShadowRoot;

  constructor() {
    super();
    this.root = this.attachShadow({ mode: 'open' });
  }

  connectedCallback(): void {
    if (this.tv) return;
    this.root.textContent = '';
    const style = this.add('style', '');
    style.textContent = STYLE;
    const video = this.add('video', 'video');
    video.setAttribute('playsinline', '');
    const still = this.add('canvas', '');
    still.hidden = true;
    const idle = this.add('div', '');
    idle.className = 'idle';
    const code = this.add('p', 'code', idle);
    code.className = 'code';
    const status = this.add('p', 'status', idle);
    status.className = 'status';
    status.setAttribute('role', 'status');
    const sound = this.add('button', 'sound');
    sound.className = 'sound';
    sound.addEventListener('click', () => tv.unmute());
    const tv = receive(video, {
      still,
      server: this.getAttribute('server') ?? undefined,
      name: this.getAttribute('name') ?? undefined,
    });
    this.tv = tv;
    const update = () => {
      const texts = TEXTS[this.language()];
      idle.hidden = tv.state === 'playing';
      code.textContent = groups(tv.code).join(' ');
      status.textContent = tv.code && !tv.online ? texts.offline : texts[tv.state];
      sound.textContent = texts.sound;
      sound.hidden = !(tv.state === 'playing' && tv.silenced);
    };
    tv.on('change', update);
    tv.on('state', (detail) => this.dispatchEvent(new CustomEvent('castway-state', { detail, bubbles: true, composed: true })));
    update();
  }

  disconnectedCallback(): void {
    this.tv?.close();
    this.tv = null;
  }

  private language(): Language {
    const named = this.closest('[lang]');
    return /^zh\b/i.test((named && named.getAttribute('lang')) || navigator.language || '') ? 'zh' : 'en';
  }

  private add<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, part: string, into: Node = this.root): HTMLElementTagNameMap[Tag] {
    const element = document.createElement(tag);
    if (part) element.setAttribute('part', part);
    into.appendChild(element);
    return element;
  }
}

/** Makes `<castway-tv>` known to the page, once. */
export function defineElement(): void {
  if (typeof customElements !== 'undefined' && !customElements.get('castway-tv')) customElements.define('castway-tv', CastwayTvElement);
}
