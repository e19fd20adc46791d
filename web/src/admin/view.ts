/** One of the page's views. */
export interface View {
  /** As in the URL: `/admin#casts`. */
  name: string;
  title: string;
  element: HTMLElement;
  /** The stream's name of what it shows live. */
  stream: string;
  /** Asks for everything that it shows. */
  load: () => Promise<void>;
  /** Takes an event of the stream. */
  take?: (event: string, data: unknown) => void;
  /** Times have passed. */
  tick?: () => void;
  /** Asks again after so many seconds, for what the stream does not have. */
  everySeconds?: number;
}
