// One end of a data channel with pion: pion offer|answer CONFIG. turn-clients.mjs, in the folder above, says what a driver prints and reads.
package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"log"
	"os"
	"strings"

	"github.com/pion/webrtc"
)

type config struct {
	URL        string `json:"url"`
	Username   string `json:"username"`
	Credential string `json:"credential"`
}

type line struct {
	Description *webrtc.SessionDescription `json:"description,omitempty"`
	Done        bool                       `json:"done,omitempty"`
	Candidates  []string                   `json:"candidates,omitempty"`
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func say(said line) { check(json.NewEncoder(os.Stdout).Encode(said)) }

// The next description of the other driver.
func hear(lines *bufio.Scanner) webrtc.SessionDescription {
	if !lines.Scan() {
		log.Fatal("the other driver has ended")
	}
	var heard line
	check(json.Unmarshal(lines.Bytes(), &heard))
	return *heard.Description
}

// Prints the description with all candidates.
func describe(pc *webrtc.PeerConnection, description webrtc.SessionDescription, err error) {
	check(err)
	gathered := webrtc.GatheringCompletePromise(pc)
	check(pc.SetLocalDescription(description))
	<-gathered
	say(line{Description: pc.LocalDescription()})
}

func echoes(channel *webrtc.DataChannel, heard <-chan []byte) {
	for i := 0; i < 50; i++ {
		payload := make([]byte, 1+(i*331)%16000)
		_, err := rand.Read(payload)
		check(err)
		check(channel.Send(payload))
		if back := <-heard; !bytes.Equal(back, payload) {
			log.Fatalf("payload %d of %d bytes came back otherwise", i, len(payload))
		}
	}
}

func candidates(pc *webrtc.PeerConnection) (found []string) {
	for _, each := range strings.Split(pc.LocalDescription().SDP, "\r\n") {
		if strings.HasPrefix(each, "a=candidate:") {
			found = append(found, each)
		}
	}
	return found
}

func main() {
	var settings config
	check(json.Unmarshal([]byte(os.Args[2]), &settings))
	server := webrtc.ICEServer{URLs: []string{settings.URL}, Username: settings.Username, Credential: settings.Credential}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{ICEServers: []webrtc.ICEServer{server}, ICETransportPolicy: webrtc.ICETransportPolicyRelay})
	check(err)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	if os.Args[1] == "answer" {
		pc.OnDataChannel(func(channel *webrtc.DataChannel) {
			channel.OnMessage(func(message webrtc.DataChannelMessage) { check(channel.Send(message.Data)) })
		})
		check(pc.SetRemoteDescription(hear(lines)))
		answer, err := pc.CreateAnswer(nil)
		describe(pc, answer, err)
		select {}
	}
	channel, err := pc.CreateDataChannel("echo", nil)
	check(err)
	opened, heard := make(chan struct{}), make(chan []byte, 1)
	channel.OnOpen(func() { close(opened) })
	channel.OnMessage(func(message webrtc.DataChannelMessage) { heard <- message.Data })
	offer, err := pc.CreateOffer(nil)
	describe(pc, offer, err)
	check(pc.SetRemoteDescription(hear(lines)))
	<-opened
	echoes(channel, heard)
	say(line{Done: true, Candidates: candidates(pc)})
	select {}
}
