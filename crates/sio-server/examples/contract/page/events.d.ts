// The events of Chat 1.0.0, written by sio_server::schema. Changes belong into the server.

/** Something that was said. */
export interface Message {
  room: string;
  text: string;
  /** Who is meant, if not all. */
  to: string[];
}

/** Something that was said. */
export interface MessageInput {
  room: string;
  text: string;
  /** Who is meant, if not all. */
  to?: string[];
}

/** What the server says. */
export interface ServerToClientEvents {
  message: (payload: Message) => void;
  joined: (payload1: string, payload2: number) => void;
}

/** What the server hears. */
export interface ClientToServerEvents {
  join: (payload: string, ack: (answer: number) => void) => void;
  message: (payload: MessageInput) => void;
}
