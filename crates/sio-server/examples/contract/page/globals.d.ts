// What the script of the page's first line brings.
declare const io: typeof import("socket.io-client").io;
