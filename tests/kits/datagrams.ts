/** A server of UDP for tests, in a container's network. */

/** Sends back what it is sent, at a port of IPv4; `pid`: a process of the container. Whoever asks ends it. */
export async function echoDatagrams(pid: string, port: number): Promise<Bun.Subprocess> {
  const program = `await Bun.udpSocket({ port: ${port}, hostname: "0.0.0.0", socket: {
    data(socket, data, port, address) { socket.send(data, port, address); } } });
    console.log("ready");`;
  const words = ["nsenter", `--net=/proc/${pid}/ns/net`, process.execPath];
  const server = Bun.spawn([...words, "-e", program], { stdin: "ignore", stdout: "pipe" });
  await server.stdout.getReader().read();
  return server;
}
