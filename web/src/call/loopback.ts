import { Channel } from './channel';
import type { IceServers } from './ice';
import { Link, type Tracks } from './link';
import { parse } from './wire';

/** `?debug=loopback`, as in AppRTC: a call of the page with itself, to test devices, signaling and the relay. */
export const loopback = new URLSearchParams(location.search).get('debug') === 'loopback';

/** The room server's name for the other side of such a call. */
const LOOPBACK_CLIENT = 'LOOPBACK_CLIENT_ID';

/** The other side of a loopback call, in the same page: it answers the offer, and sends back the media that it receives. */
export class Phantom {
  private readonly tracks: Tracks = { audio: null, video: null };
  private readonly link: Link;
  private readonly channel: Channel;

  constructor(room: string, ice: IceServers) {
    const nothing = () => undefined;
    this.link = new Link(ice, this.tracks, {
      initiator: () => false,
      send: (message) => this.channel.send(JSON.stringify(message)),
      changed: nothing,
      opened: ({ pc }) => (pc.ondatachannel = ({ channel }) => (channel.onmessage = ({ data }) => channel.send(data as string))),
      offers: nothing,
      informed: () => true,
      picture: (stream) => this.sendBack(stream),
      // The other side starts a new connection.
      exhausted: nothing,
    });
    this.channel = new Channel(room, {
      heard: (text) => {
        const message = parse(text);
        if (message) this.link.receive(message);
      },
      registered: nothing,
      offline: nothing,
      refused: nothing,
      closed: nothing,
    });
    this.channel.register(LOOPBACK_CLIENT);
  }

  close(): void {
    this.channel.close();
    this.link.close();
  }

  private sendBack(stream: MediaStream): void {
    [this.tracks.audio = null] = stream.getAudioTracks();
    [this.tracks.video = null] = stream.getVideoTracks();
    this.link.replace('audio');
    this.link.replace('video');
  }
}
