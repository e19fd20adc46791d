/** Handlers by the name of their event, with the argument that each event has. */
export class Emitter<Events extends object> {
  private readonly handlers: { [name: string]: ((argument: never) => void)[] } = {};

  /** Returns a function that removes the handler. */
  on<Name extends keyof Events & string>(event: Name, handler: (argument: Events[Name]) => void): () => void {
    const list = (this.handlers[event] = this.handlers[event] ?? []);
    list.push(handler);
    return () => {
      const index = list.indexOf(handler);
      if (index >= 0) list.splice(index, 1);
    };
  }

  protected emit<Name extends keyof Events & string>(event: Name, argument: Events[Name]): void {
    // A handler may remove itself.
    (this.handlers[event] ?? []).slice().forEach((handler) => (handler as (argument: Events[Name]) => void)(argument));
  }
}
