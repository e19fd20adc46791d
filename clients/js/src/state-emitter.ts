import { Emitter } from './emitter';

export interface StateEvents<State> {
  /** Any property may have changed. */
  change: undefined;
  state: State;
}

/** Tells of every change, and of the state where it is another one than the last time. `told`: the state at the beginning. */
export abstract class StateEmitter<State, Events extends StateEvents<State>> extends Emitter<Events> {
  constructor(private told: State) {
    super();
  }

  abstract get state(): State;

  protected changed(): void {
    this.emit('change', undefined as Events['change']);
    const { state } = this;
    if (state === this.told) return;
    this.told = state;
    this.emit('state', state as Events['state']);
  }
}
