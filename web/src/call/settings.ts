import { byId, setText, show, store, stored } from '../lib/dom';
import { t } from '../lib/i18n';
import type { Device, DeviceKind, Devices } from './devices';

const KEYS_KEY = 'castway.keys';
const SELECTS: Record<string, DeviceKind> = { 'choose-camera': 'videoinput', 'choose-microphone': 'audioinput', 'choose-speaker': 'audiooutput' };

type Speaker = HTMLVideoElement & { setSinkId?: (id: string) => Promise<void> };

/** The choice of devices, and whether single keys do something. */
export class Settings {
  /** Whether single keys do something (WCAG 2.1.4). */
  keys = stored<boolean>('localStorage', KEYS_KEY) !== false;

  private readonly panel = byId('settings');
  private speakers: Device[] = [];

  /** `gone` reports that the chosen speaker is not there any more. */
  constructor(
    private readonly devices: Devices,
    private readonly player: Speaker,
    private readonly changed: () => void,
    private readonly gone: (kind: DeviceKind, label: string, instead: string | null) => void,
  ) {
    Object.entries(SELECTS).forEach(([id, kind]) => {
      const select = byId<HTMLSelectElement>(id);
      select.addEventListener('change', () => void this.choose(kind, select.value));
    });
    const keys = byId<HTMLInputElement>('use-keys');
    keys.checked = this.keys;
    keys.addEventListener('change', () => {
      this.keys = keys.checked;
      store('localStorage', KEYS_KEY, this.keys);
      this.changed();
    });
    byId('settings-close').addEventListener('click', () => this.toggle(false));
    this.panel.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      this.toggle(false);
    });
    const { mediaDevices } = navigator;
    if (mediaDevices && mediaDevices.addEventListener) mediaDevices.addEventListener('devicechange', () => void this.list());
  }

  get open(): boolean {
    return !this.panel.hidden;
  }

  toggle(open = !this.open): void {
    if (open === this.open) return;
    show(this.panel, open);
    this.changed();
    if (open) byId('settings-title').focus({ preventScroll: true });
    else byId('preferences').focus({ preventScroll: true });
  }

  /** Shows the devices that exist now. */
  async list(): Promise<void> {
    const lists = await this.devices.lists();
    Object.entries(SELECTS).forEach(([id, kind]) => {
      const select = byId<HTMLSelectElement>(id);
      const usable = lists[kind].length > 0 && (kind !== 'audiooutput' || Boolean(this.player.setSinkId));
      show(select.parentElement!, usable);
      fill(select, lists[kind], this.devices.using(kind));
    });
    await this.useSpeaker(lists.audiooutput);
    setText(byId('settings-hint'), lists.audioinput.length + lists.videoinput.length ? '' : t.callNoNames);
    this.changed();
  }

  private async choose(kind: DeviceKind, id: string): Promise<void> {
    await this.devices.choose(kind, id);
    await this.list();
  }

  private async useSpeaker(speakers: Device[]): Promise<void> {
    const wanted = this.devices.using('audiooutput');
    const before = this.speakers;
    this.speakers = speakers;
    const { player } = this;
    if (!player.setSinkId || !wanted) return;
    const named = (id: string) => (list: Device[]) => list.filter((one) => one.id === id)[0];
    const lost = named(wanted)(before);
    try {
      await player.setSinkId(named(wanted)(speakers) ? wanted : '');
    } catch (error) {
      console.warn('castway: speaker refused', error);
    }
    if (lost && !named(wanted)(speakers)) this.gone('audiooutput', lost.label, speakers[0] ? speakers[0].label : null);
  }
}

function fill(select: HTMLSelectElement, devices: Device[], used: string): void {
  const same = devices.length === select.options.length && devices.every(({ id, label }, at) => select.options[at]!.value === id && select.options[at]!.text === label);
  if (!same) {
    select.textContent = '';
    devices.forEach(({ id, label }) => select.appendChild(new Option(label, id)));
  }
  if (devices.some(({ id }) => id === used)) select.value = used;
  else if (devices[0]) select.value = devices[0].id;
}
